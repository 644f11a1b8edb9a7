"""A process that compares its range of keys (`python -m services.ops.verification.compare_worker`).

The fold and each table are read beside each other in the order of their keys, so that nothing has
to be in memory but one stream.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.core.postgres import Connection
from services.core.readmodel.rows import event_row
from services.core.replay.processes import Report, serve_order
from services.ops.verification.compare import (
    ASSETS,
    EVENTS,
    StreamRows,
    Timeline,
    compare_stream,
    expected_asset,
)
from services.ops.verification.differences import (
    Comparison,
    Damage,
    Row,
    canonical,
    digest,
)
from services.ops.verification.fold import DIGEST, PLACED
from services.ops.verification.single_records import SingleRecords
from services.ops.verification.snapshot import (
    READ_ASSETS,
    READ_CONTENT_JOBS,
    READ_EVENTS,
    READ_INFLUENCERS,
    READ_RENDER_JOBS,
    READ_STREAMS,
    Snapshot,
    read_rows,
    read_stream_events,
    shared_snapshot,
)
from services.ops.verification.store import FoldStores, KeptStream

REPORT_EVERY = 500
"""Streams or media assets."""


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """Ranges are of keys, the end excluded; `limit` is for the differences named of a model.

    Of streams with a `skipped` event only the events are compared: the write side, which rows are
    cut from too, knows of what was skipped.
    """

    database_url: str
    snapshot: Snapshot
    bootstrap_servers: str
    stores: list[str]
    quarantined: list[str]
    skipped: list[str]
    streams: tuple[str, str]
    assets: tuple[str, str]
    limit: int

    @staticmethod
    def of_json(read: dict[str, Any]) -> "CompareOrder":
        return CompareOrder(snapshot=Snapshot(**read.pop("snapshot")), **read)


async def carry_out(read: dict[str, Any], report: Report) -> None:
    order = CompareOrder.of_json(read)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            shared_snapshot(order.database_url, order.snapshot)
        )
        log = SingleRecords(stack, order.bootstrap_servers)
        comparing = RangeComparison(order, connection, log)
        async for compared in comparing.streams():
            report({"compared": compared})
        async for compared in comparing.assets():
            report({"compared": compared})
        report(comparing.as_json())


class RangeComparison:
    """Compares one range; `streams` and `assets` say now and then how many they have done."""

    def __init__(self, order: CompareOrder, connection: Connection, log: SingleRecords) -> None:
        self.comparison = Comparison(order.limit)
        self.damages: list[Damage] = []
        self._order = order
        self._connection = connection
        self._log = log
        self._stores = FoldStores(map(Path, order.stores))
        self._quarantined = frozenset(order.quarantined)
        self._skipped = frozenset(order.skipped)

    def as_json(self) -> dict[str, Any]:
        return {
            "differences": [found.as_json() for found in self.comparison.differences],
            "counts": self.comparison.counts,
            "hashes": {model: each.as_json() for model, each in self.comparison.hashes.items()},
            "damages": [found.as_json() for found in self.damages],
        }

    async def streams(self) -> AsyncIterator[int]:
        low, high = self._order.streams
        folded = _Source(_each((kept.key, kept) for kept in self._stores.streams(low, high)))
        later = _Source(_each((key, key) for key in self._stores.later_keys(low, high)))
        queries = (
            READ_STREAMS,
            READ_INFLUENCERS,
            READ_RENDER_JOBS,
            READ_CONTENT_JOBS,
            READ_EVENTS,
        )
        tables = [_Source(_rows(self._connection, query, low, high)) for query in queries]
        count = 0
        async for key in _keys((folded, later, *tables)):
            kept = await folded.take(key)
            await later.take(key)
            rows = [await table.take(key) for table in tables]
            await self._compare_stream(key, kept, rows)
            count += 1
            if count % REPORT_EVERY == 0:
                yield REPORT_EVERY
        yield count % REPORT_EVERY

    async def assets(self) -> AsyncIterator[int]:
        low, high = self._order.assets
        folded = _Source(_each((kept.key, kept) for kept in self._stores.assets(low, high)))
        table = _Source(_rows(self._connection, READ_ASSETS, low, high))
        count = 0
        async for key in _keys((folded, table)):
            kept, rows = await folded.take(key), await table.take(key)
            expected = kept[0].row if kept else self._upload_ahead(key)
            found = canonical(rows[0]) if rows else None
            self.comparison.compare_canonical(ASSETS, key, expected, found)
            count += 1
            if count % REPORT_EVERY == 0:
                yield REPORT_EVERY
        yield count % REPORT_EVERY

    async def _compare_stream(
        self, key: str, folded: Sequence[KeptStream], rows: Sequence[Sequence[Row]]
    ) -> None:
        streams, influencers, render_jobs, content_jobs, events = rows
        kept = max(folded, key=lambda each: each.sequence, default=None)
        self.damages += (_elsewhere(each, kept) for each in folded if kept and each is not kept)
        if key not in self._skipped:
            compare_stream(
                self.comparison,
                Timeline(key, kept, self._stores.later_events),
                StreamRows(_first(streams), _first(influencers), [*render_jobs, *content_jobs]),
                is_quarantined=key in self._quarantined,
            )
        found: bytes = events[0]["digests"] if events else b""
        await self._compare_events(key, kept, found)

    async def _compare_events(self, key: str, kept: KeptStream | None, found: bytes) -> None:
        placed = list(PLACED.iter_unpack(kept.events)) if kept else []
        expected = b"".join(each for _, each, _ in placed)
        self.comparison.hash_of(EVENTS).add(
            digest(expected or None), digest(found or None), len(found) // DIGEST
        )
        if expected != found:
            await self._name_events(key, kept, placed)

    async def _name_events(
        self, key: str, kept: KeptStream | None, placed: Sequence[tuple[int, bytes, int]]
    ) -> None:
        rows = await read_stream_events(self._connection, key)
        expected = {sequence: (digest, offset) for sequence, digest, offset in placed}
        for sequence in sorted({*rows, *expected}):
            row, due = rows.get(sequence), expected.get(sequence)
            if row and due and row["digest"] == due[0]:
                continue
            if self.comparison.counts_named(EVENTS):
                log = await self._event(kept, due[1]) if kept and due else None
                self.comparison.name(EVENTS, f"{key}/{sequence}", *_event_columns(log, row))

    async def _event(self, kept: KeptStream, offset: int) -> Row:
        record = await self._log.read(kept.topic, kept.partition, offset)
        assert record.event is not None
        return event_row(record, record.event)._asdict()

    def _upload_ahead(self, key: str) -> bytes | None:
        row = expected_asset(Timeline(key, None, self._stores.later_events))
        return canonical(row) if row else None


@dataclass(slots=True)
class _Source:
    """Pairs of a key and what belongs to it, in the order of keys; `head` is the next one."""

    pairs: AsyncIterator[tuple[str, Any]]
    head: tuple[str, Any] | None = None

    async def advance(self) -> None:
        self.head = await anext(self.pairs, None)

    async def take(self, key: str) -> list[Any]:
        """All that belongs to `key`; there is nothing before it any more."""
        taken = []
        while self.head is not None and self.head[0] == key:
            taken.append(self.head[1])
            await self.advance()
        return taken


async def _keys(sources: Sequence[_Source]) -> AsyncIterator[str]:
    """Each key of any source; whoever iterates takes it from all of them."""
    for source in sources:
        await source.advance()
    while heads := [source.head[0] for source in sources if source.head]:
        yield min(heads)


async def _rows(
    connection: Connection, query: str, low: str, high: str
) -> AsyncIterator[tuple[str, Row]]:
    async for row in read_rows(connection, query, low, high):
        yield row.pop("key"), row


async def _each(pairs: Iterable[tuple[str, Any]]) -> AsyncIterator[tuple[str, Any]]:
    for pair in pairs:
        yield pair


def _first(rows: Sequence[Row]) -> Row | None:
    return rows[0] if rows else None


def _event_columns(log: Row | None, found: Row | None) -> tuple[Row | None, Row | None]:
    """Both for comparing field by field; `data` stays text where only its spelling differs."""
    found = {n: value for n, value in found.items() if n != "digest"} if found else None
    try:
        parsed = [row and {**row, "data": orjson.loads(row["data"])} for row in (log, found)]
    except orjson.JSONDecodeError:
        return log, found
    return (log, found) if parsed[0] == parsed[1] else (parsed[0], parsed[1])


def _elsewhere(other: KeptStream, kept: KeptStream) -> Damage:
    ((_, _, offset),) = PLACED.iter_unpack(other.events[: PLACED.size])
    return Damage(
        other.topic,
        other.partition,
        offset,
        other.key,
        f"the stream is also on {kept.topic}/{kept.partition}",
        other.sequence - 1,
    )


if __name__ == "__main__":
    serve_order(carry_out)
