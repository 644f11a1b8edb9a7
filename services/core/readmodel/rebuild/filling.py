"""Folds spans of the log into a schema, as the projector does, but in large batches.

Each batch is one transaction with the positions behind it: whoever is killed goes on from there.
While a batch is written, the next one is read, decoded and folded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import asyncpg
from aiokafka.structs import ConsumerRecord

from services.core.errors import DependencyUnavailable
from services.core.failpoints import fail_point
from services.core.postgres import CONNECT_TIMEOUT, Connection, database_faults
from services.core.readmodel.apply import Changes, apply
from services.core.readmodel.positions import Move, Partition, read_positions
from services.core.readmodel.project import UNWRITABLE, Batch, commit, find_met, project
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import LogRecord, StreamId, read_record
from services.core.replay.processes import Report, carry_out_in_processes
from services.core.replay.reading import Span, read_chunks, shares

WORKER = "services.core.readmodel.rebuild.worker"
SLICE = 500
"""Records folded at a time, so that the transaction under way gets its turns."""
MEBIBYTE = 1024 * 1024
INTERPRETER = 90
"""MiB of a worker that has nothing at hand yet."""
APPLICATION = "rebuild"


class Filled(NamedTuple):
    """What a committed batch came to; `offsets` count transaction markers too."""

    events: int
    offsets: int


Heard = Callable[[Filled], None]


@dataclass(frozen=True, slots=True)
class Sources:
    database_url: str
    bootstrap_servers: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may hold at a time. Two batches are on their way; `kept` states of streams
    are at hand beside, no fewer than a batch can change."""

    records: int
    bytes: int
    kept: int

    @classmethod
    def within(cls, memory: int) -> "Bounds":
        """`memory` is in MiB, of one process."""
        free = max(1, memory - INTERPRETER)
        records = min(20_000, free * 20)
        return cls(records, free * MEBIBYTE // 16, kept=records)


async def fill(
    sources: Sources,
    schema: str,
    spans: Mapping[Partition, Span],
    *,
    workers: int,
    memory: int,
    heard: Heard,
) -> None:
    """Folds `spans` in `workers` processes of `memory` MiB each, on from the positions of `schema`.

    Raises DependencyUnavailable, WorkerFailed.
    """
    orders = [
        {
            "database": sources.database_url,
            "kafka": sources.bootstrap_servers,
            "schema": schema,
            "memory": memory,
            "spans": [(*partition, *span) for partition, span in share.items()],
        }
        for share in shares({p: span for p, span in spans.items() if span.length}, workers)
    ]
    await carry_out_in_processes(WORKER, orders, lambda _, said: heard(Filled(*said)))


async def carry_out(order: dict[str, Any], report: Report) -> None:
    """A worker's part of `fill`."""
    spans = {Partition(t, p): Span(start, end) for t, p, start, end in order["spans"]}
    sources = Sources(order["database"], order["kafka"])
    await fold_spans(
        sources,
        order["schema"],
        spans,
        bounds=Bounds.within(order["memory"]),
        heard=lambda filled: report([*filled]),
        durable=False,
    )


async def fold_spans(
    sources: Sources,
    schema: str,
    spans: Mapping[Partition, Span],
    *,
    bounds: Bounds,
    heard: Heard,
    durable: bool = True,
) -> None:
    """Folds `spans` into `schema`, whose positions are where they start.

    Unless `durable`, a crash of Postgres may take back the last batches, positions and all.
    Raises DependencyUnavailable; PositionMoved when somebody else folds them too.
    """
    async with AsyncExitStack() as stack:
        name, url = application_of(schema), sources.database_url
        reading = await stack.enter_async_context(connected(url, name))
        writing = await stack.enter_async_context(connected(url, name))
        if not durable:
            await writing.execute("set synchronous_commit = off")
        filler = _Filler(reading, writing, schema, bounds, heard)
        stack.push_async_callback(filler.stop)
        await filler.start(spans)
        async for chunk in read_chunks(
            sources.bootstrap_servers, spans, size=bounds.records, max_bytes=bounds.bytes
        ):
            if chunk.records:
                await filler.take(chunk.records)
        await filler.finish()


def application_of(schema: str) -> str:
    """What connections that fold into `schema` are called."""
    return f"fold into {schema}"


@asynccontextmanager
async def connected(database_url: str, application: str = APPLICATION) -> AsyncIterator[Connection]:
    """A connection for work that may take long. Raises DependencyUnavailable."""
    async with database_faults(), _refusals():
        connection: Connection = await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT,
            server_settings={"application_name": application, "jit": "off"},
        )
        try:
            yield connection
        finally:
            connection.terminate()


@asynccontextmanager
async def _refusals() -> AsyncIterator[None]:
    """What this role may not do, such as making a schema, is for an operator to put right."""
    try:
        yield
    except (
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
    ) as fault:
        raise DependencyUnavailable("postgres", str(fault)) from fault


class _Filler:
    def __init__(
        self,
        reading: Connection,
        writing: Connection,
        schema: str,
        bounds: Bounds,
        heard: Heard,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._schema = schema
        self._recent = RecentStates(bounds.kept)
        self._heard = heard
        self._positions: dict[Partition, int] = {}
        self._under_way: asyncio.Task[bool] | None = None
        self._parked: set[StreamId] = set()

    async def start(self, spans: Mapping[Partition, Span]) -> None:
        await read_positions(self._writing, spans.keys(), self._schema)
        self._positions = {partition: span.start for partition, span in spans.items()}

    async def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Folds a chunk, and begins to write it once the one before it is written."""
        batch = Batch(await _decoded(records), self._moves(records))
        changes = await self._folded(batch)
        if not await self._is_written():
            changes = await self._folded(batch)  # the states it stood on never came to be
        self._recent.remember(changes)
        self._parked = changes.parked
        self._under_way = asyncio.create_task(self._write(batch, changes))

    async def finish(self) -> None:
        await self._is_written()

    async def stop(self) -> None:
        if self._under_way:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    def _moves(self, records: Sequence[ConsumerRecord]) -> dict[Partition, Move]:
        """Right behind the last records, as the projector's: the markers that follow say nothing,
        and where two sides have read the same, their positions are the same."""
        last = {(record.topic, record.partition): record.offset for record in records}
        behind = {Partition(*place): offset + 1 for place, offset in last.items()}
        moves = {p: Move(self._positions[p], offset) for p, offset in behind.items()}
        self._positions |= behind
        return moves

    async def _folded(self, batch: Batch) -> Changes:
        found = await find_met(self._reading, batch.records, self._recent, self._schema)
        parked = found.quarantined.union(self._parked)
        changes = Changes()
        for part in _slices(batch.records):
            apply(part, found.states, parked, changes, skips=found.skips)
            await asyncio.sleep(0)
        return changes

    async def _is_written(self) -> bool:
        """Waits for the batch under way; False when it was not written as it was folded."""
        if self._under_way is None:
            return True
        as_folded = await self._under_way
        self._under_way = None
        self._parked = set()
        if not as_folded:
            self._recent.clear()
        return as_folded

    async def _write(self, batch: Batch, changes: Changes) -> bool:
        as_folded = await self._commit(batch, changes)
        if not as_folded:
            await project(self._writing, batch, self._schema)
        offsets = sum(move.next_offset - move.expected for move in batch.moves.values())
        self._heard(Filled(len(batch.records), offsets))
        fail_point("rebuild.filled")
        return as_folded

    async def _commit(self, batch: Batch, changes: Changes) -> bool:
        if changes.known:  # without the keys of events, Postgres can't tell that one is there
            return False
        try:
            await commit(self._writing, batch, changes, self._schema)
        except UNWRITABLE:
            return False
        return True


async def _decoded(records: Iterable[ConsumerRecord]) -> list[LogRecord]:
    decoded: list[LogRecord] = []
    for part in _slices(records):
        decoded.extend(map(read_record, part))
        await asyncio.sleep(0)
    return decoded


def _slices(records: Iterable[Any]) -> Iterable[list[Any]]:
    remaining = iter(records)
    while part := list(islice(remaining, SLICE)):
        yield part
