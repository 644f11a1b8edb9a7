"""Records that an operator has given up: every fold of the log passes them over.

A skip says what the stream's sequence is after it, so the fold goes on there as if the record had
been folded and had changed nothing else. It names the record by its place and holds what stood
there: on another log, where another record stands at that place, it means nothing.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar, cast

import orjson

from services.core.domain.aggregates import StreamState
from services.core.domain.content import ContentStream
from services.core.postgres import Connection
from services.core.readmodel.records import LogRecord, StreamId, is_canonical_uuid
from services.core.readmodel.rows import columns, headers_json

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset."""


Stream = TypeVar("Stream", bound=StreamState)


class Skip(NamedTuple):
    """`headers` as a quarantined record has them."""

    stream: StreamId
    sequence_after: int
    headers: str
    value: bytes | None


Skips = Mapping[Place, Skip]
NO_SKIPS: Skips = MappingProxyType({})

HAS_SKIPS = "select exists (select from control.skipped_records)"
FIND = """
select topic, partition, record_offset, stream_key, sequence_after, headers, value
from control.skipped_records
where $1 or (topic, stream_key) in (select * from unnest($2::text[], $3::text[]))
"""


async def find_skips(connection: Connection, streams: Collection[StreamId] | None = None) -> Skips:
    """The skips of `streams`, all there are for None; mostly there are none."""
    if not await connection.fetchval(HAS_SKIPS):
        return NO_SKIPS
    rows = await connection.fetch(FIND, streams is None, *columns(streams or (), 2))
    return {
        (row["topic"], row["partition"], row["record_offset"]): Skip(
            StreamId(row["topic"], row["stream_key"]),
            row["sequence_after"],
            row["headers"],
            row["value"],
        )
        for row in rows
    }


def skip_of(record: LogRecord, skips: Skips) -> Skip | None:
    """The skip of this very record."""
    skip = skips.get((record.stream.topic, record.partition, record.offset))
    if skip is None or (skip.stream, skip.value) != (record.stream, record.value):
        return None
    return skip if orjson.loads(skip.headers) == orjson.loads(headers_json(record)) else None


def skipped_keys(skips: Skips, known: Collection[str] = ()) -> set[tuple[str, str]]:
    """Organization and stream of those whose state a fold needs, less the `known` keys."""
    keys = {skip.stream.key for skip in skips.values()}.difference(known)
    parts = (key.partition("/") for key in keys)
    return {(owner, stream_id) for owner, _, stream_id in parts if is_canonical_uuid(owner)}


def passed_over(state: Stream, sequence: int) -> Stream:
    """`state` at `sequence`, and nothing else of it changed."""
    if isinstance(state, ContentStream) and state.job:
        # Its row is the job's, which carries the sequence of the stream.
        job = state.job.model_copy(update={"sequence": sequence})
        return cast(Stream, state.model_copy(update={"sequence": sequence, "job": job}))
    return cast(Stream, state.model_copy(update={"sequence": sequence}))
