"""Rebuilds and rollbacks from beginning to end; each step can be killed and gone on from."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple, Protocol

import asyncpg

from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.readmodel.positions import Partition, positions_of, read_positions
from services.core.readmodel.rebuild import merging, record, shadow, swapping
from services.core.readmodel.rebuild.aside import Aside, free_what_is_free
from services.core.readmodel.rebuild.comparing import Comparing, Comparison, Difference
from services.core.readmodel.rebuild.filling import (
    Bounds,
    Filled,
    Sources,
    connected,
    fill,
    fold_spans,
)
from services.core.readmodel.rebuild.record import Record, Recorded
from services.core.readmodel.rebuild.scratch import create_scratch, drop_scratch
from services.core.readmodel.schema import LIVE, NEXT, PREVIOUS
from services.core.replay.reading import Span, log_spans

IN_PROCESSES_FROM = 20_000
"""Offsets from which on starting worker processes is worth its time."""
CLOSE = 500
"""Offsets behind the log that count as caught up."""
FOLLOWING = Bounds(records=500, bytes=16 * 1024 * 1024, kept=2000)
"""Small transactions: the live ones share their processors."""
SETTLED_AFTER = 60.0
"""Seconds after which a row that was never seen at rest counts as a difference."""
RESTING_LOOKS = 3
"""Looks without any change after which the waiting and the lagging rows are told as such."""
LOOK_AGAIN_AFTER = 0.3


class NothingToRollBackTo(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(f"there are no previous read models to go back to: {reason}")


class AnotherUnderWay(Exception):
    """An interrupted rebuild of another kind must be gone on with or aborted first."""

    def __init__(self, recorded: Recorded) -> None:
        of_what = f" of {recorded.only_model}" if recorded.only_model else ""
        super().__init__(
            f"a {recorded.kind}{of_what} was interrupted: go on with it, or `rebuild abort`"
        )


@dataclass(frozen=True, slots=True)
class Options:
    """`memory` is in MiB, of one worker; `only` is the one model that is built anew; `limit` says
    how many differences are told in full."""

    workers: int = 1
    memory: int = 512
    only: str | None = None
    dry_run: bool = False
    limit: int = 100


class Outcome(NamedTuple):
    """`phase`: `swapped`, `equal` (a dry run) or `different`. `held_up` is in seconds."""

    phase: str
    comparison: Comparison | None = None
    events: int = 0
    seconds: float = 0.0
    held_up: float = 0.0


class Observer(Protocol):
    """Hears what a rebuild does, and decides about differences."""

    def entered(self, phase: str, offsets: int) -> None: ...

    def folded(self, filled: Filled) -> None: ...

    async def accepts(self, comparison: Comparison) -> bool:
        """Whether to swap although there are differences."""
        ...


class Rebuilding:
    """`topics` are those of events."""

    def __init__(
        self, sources: Sources, topics: tuple[str, ...], options: Options, observer: Observer
    ) -> None:
        self._sources = sources
        self._topics = topics
        self._options = options
        self._observer = observer
        self._events = 0
        self._resumes = False
        self._begun = perf_counter()

    async def rebuild(self) -> Outcome:
        """Fills, catches up, compares and swaps; goes on with one that was interrupted.

        Raises RebuildUnderWay, AnotherUnderWay, SchemaNotCloneable, LogIncomplete, SwapImpossible,
        WorkerFailed, DependencyUnavailable.
        """
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            self._record = await self._resume_or_begin()
            self._beat(stack)
            await self._fill()
            await self._index(NEXT)
            await self._catch_up_far(NEXT)
            while True:
                with suppress(swapping.SetAsideMeanwhile):
                    return await self._compare_and_swap()
                await clean_up(self._main)

    async def _compare_and_swap(self) -> Outcome:
        """Raises SetAsideMeanwhile when that has to be done once more."""
        comparison, seen = await self._compare()
        if self._options.dry_run:
            return await self._end_dry(comparison)
        if not comparison.is_equal and not await self._observer.accepts(comparison):
            await self._record.rest("different", comparison.differences)
            return self._outcome("different", comparison)
        return self._outcome("swapped", comparison, await self._swap(NEXT, seen))

    async def roll_back(self) -> Outcome:
        """Puts the previous read models back, caught up; the live ones become the previous.

        Raises NothingToRollBackTo and what `rebuild` does.
        """
        async with AsyncExitStack() as stack:
            await self._connect(stack)
            await swapping.disarm(self._main)
            await _require_previous(self._main)
            self._record = await self._resume_or_begin_rollback()
            self._beat(stack)
            await self._catch_up_far(PREVIOUS)
            return self._outcome("swapped", None, await self._swap(PREVIOUS))

    async def offsets_to_roll_back(self) -> int:
        """How far the previous read models are behind the log; nothing is changed.

        Raises NothingToRollBackTo, LogIncomplete, DependencyUnavailable.
        """
        async with connected(self._sources.database_url, "rebuild looks") as connection:
            await _require_previous(connection)
            reached = await positions_of(connection, PREVIOUS)
        spans = await log_spans(self._sources.bootstrap_servers, self._topics)
        return sum(max(0, span.end - reached.get(p, 0)) for p, span in spans.items())

    async def _connect(self, stack: AsyncExitStack) -> None:
        url = self._sources.database_url
        self._guard = await stack.enter_async_context(connected(url))
        await stack.enter_async_context(record.alone(self._guard))
        self._main = await stack.enter_async_context(connected(url))
        self._other = await stack.enter_async_context(connected(url))
        await self._main.execute("set work_mem = '64MB'; set maintenance_work_mem = '256MB'")

    def _beat(self, stack: AsyncExitStack) -> None:
        beating = asyncio.create_task(self._record.beat())

        async def stop() -> None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

        stack.push_async_callback(stop)

    # Beginning

    async def _resume_or_begin(self) -> Record:
        recorded = await record.last_recorded(self._guard)
        await clean_up(self._main)
        fingerprint = await shadow.fingerprint(self._main)
        if recorded and recorded.is_under_way:
            if recorded.kind != "rebuild" or recorded.only_model != self._options.only:
                raise AnotherUnderWay(recorded)
            if recorded.fingerprint == fingerprint and await shadow.exists(self._main, NEXT):
                self._resumes = True
                return Record(self._guard, recorded.rebuild_id)
            await record.end_interrupted(self._guard, recorded)
        # First: whoever finds a schema beside the record of a rebuild takes it for that one's.
        await shadow.drop(self._main, NEXT)
        begun = await record.begin(self._guard, "rebuild", self._options.only, fingerprint)
        await begun.enter("start")
        await shadow.create(self._main, NEXT)
        return begun

    async def _resume_or_begin_rollback(self) -> Record:
        recorded = await record.last_recorded(self._guard)
        await clean_up(self._main)
        if recorded and recorded.is_under_way:
            if recorded.kind != "rollback":
                raise AnotherUnderWay(recorded)
            return Record(self._guard, recorded.rebuild_id)
        return await record.begin(self._guard, "rollback", None, "")

    # Filling

    async def _fill(self) -> None:
        if await merging.is_merged(self._main, self._record.rebuild_id):
            return
        if self._options.only:
            await merging.require_empty_quarantine(self._main, LIVE)
        spans = await self._spans_behind(NEXT, await self._target_of_the_fill())
        await self._enter("fill", sum(span.length for span in spans.values()))
        await self._fold(NEXT, spans)
        if self._options.only:
            await self._enter("merge")
            await merging.merge(
                self._main,
                self._other,
                NEXT,
                self._options.only,
                self._record.rebuild_id,
                self._catch_up_to(NEXT),
            )

    async def _target_of_the_fill(self) -> Mapping[Partition, int] | None:
        """A model that is to go with the live others must not get ahead of them."""
        return await positions_of(self._main, LIVE) if self._options.only else None

    async def _index(self, schema: str) -> None:
        missing = await shadow.missing_indexes(self._main, schema)
        await self._enter("index")
        for index in missing:
            await self._build(index)
        await self._main.execute(f"analyze {', '.join(await shadow.tables(self._main, schema))}")

    async def _build(self, index: shadow.Index) -> None:
        try:
            await self._main.execute(index.statement)
        except asyncpg.UniqueViolationError:  # an event is on two partitions: the first one counts
            await shadow.drop_repeated_events(self._main, NEXT)
            await self._main.execute(index.statement)
        fail_point("rebuild.index-built")

    # Catching up

    async def _catch_up_far(self, schema: str) -> None:
        """Until the log's end is close."""
        while True:
            spans = await self._spans_behind(schema)
            behind = sum(span.length for span in spans.values())
            await self._enter("catch-up", behind)
            await self._fold(schema, spans)
            if behind < CLOSE:
                return

    def _catch_up_to(
        self, schema: str
    ) -> Callable[[Mapping[Partition, int] | None], Awaitable[None]]:
        async def catch_up(ends: Mapping[Partition, int] | None) -> None:
            await self._fold_here(schema, await self._spans_behind(schema, ends))

        return catch_up

    async def _spans_behind(
        self, schema: str, ends: Mapping[Partition, int] | None = None
    ) -> dict[Partition, Span]:
        """From the positions of `schema` to `ends`, or to the log's."""
        if ends is None:
            spans = await log_spans(self._sources.bootstrap_servers, self._topics)
            # Also those that are empty so far: a position says that nothing was overlooked.
            await read_positions(self._other, spans.keys(), schema)
            ends = {partition: span.end for partition, span in spans.items()}
        reached = await positions_of(self._other, schema)
        return {p: Span(reached.get(p, 0), max(end, reached.get(p, 0))) for p, end in ends.items()}

    async def _fold(self, schema: str, spans: Mapping[Partition, Span]) -> None:
        if sum(span.length for span in spans.values()) < IN_PROCESSES_FROM:
            return await self._fold_here(schema, spans)
        return await fill(
            self._sources,
            schema,
            spans,
            workers=self._options.workers,
            memory=self._options.memory,
            heard=self._heard,
        )

    async def _fold_here(self, schema: str, spans: Mapping[Partition, Span]) -> None:
        behind = {partition: span for partition, span in spans.items() if span.length}
        if behind:
            await fold_spans(self._sources, schema, behind, bounds=FOLLOWING, heard=self._heard)

    def _heard(self, filled: Filled) -> None:
        self._events += filled.events
        self._record.offsets_done += filled.offsets
        self._observer.folded(filled)

    # Comparing

    async def _compare(self) -> tuple[Comparison, Aside]:
        await self._enter("compare")
        await create_scratch(self._main)
        await free_what_is_free(self._main, NEXT)
        comparing = Comparing(self._main, NEXT, self._options.limit)
        seen_aside = await comparing.look()
        clock = asyncio.get_running_loop().time
        given_up, seen, resting = clock() + SETTLED_AFTER, await comparing.unsettled(), 0
        while seen and clock() < given_up and resting < RESTING_LOOKS:
            await self._catch_up_to(NEXT)(None)
            await asyncio.sleep(LOOK_AGAIN_AFTER)
            await comparing.look_again()
            before, seen = seen, await comparing.unsettled()
            rests = seen == before and not any(why == "unsettled" for why, _ in seen)
            resting = resting + 1 if rests else 0
        result = await self._with_positions_judged(await comparing.result(), seen_aside.positions)
        return result, seen_aside

    async def _with_positions_judged(
        self, comparison: Comparison, live: Mapping[Partition, int]
    ) -> Comparison:
        spans = await log_spans(self._sources.bootstrap_servers, self._topics)
        beyond = [
            Difference("projection_offsets", f"{p.topic}/{p.partition}", "beyond the log's end")
            for p, offset in sorted(live.items())
            if p in spans and offset > spans[p].end
        ]
        return replace(
            comparison,
            differences=comparison.differences + len(beyond),
            listed=[*comparison.listed, *beyond],
        )

    async def _end_dry(self, comparison: Comparison) -> Outcome:
        phase = "equal" if comparison.is_equal else "different"
        if self._resumes:  # what an interrupted rebuild has built stays
            await drop_scratch(self._main)
            await self._record.rest(phase, comparison.differences)
            return self._outcome(phase, comparison)
        await shadow.drop(self._main, NEXT)
        await drop_scratch(self._main)
        await self._record.end(phase, comparison.differences)
        return self._outcome(phase, comparison)

    # Swapping

    async def _swap(self, schema: str, seen: Aside | None = None) -> float:
        await self._enter("swap")
        if schema == NEXT:
            self._observer.entered("vacuum", 0)
            await self._vacuum(schema)
            self._observer.entered("swap", 0)
        else:
            await create_scratch(self._main)
        await swapping.arm(self._main, schema)
        fail_point("rebuild.armed")
        swapped = await swapping.swap(
            self._main,
            self._other,
            schema,
            self._record.rebuild_id,
            self._catch_up_to(schema),
            seen,
        )
        fail_point("rebuild.swapped")
        await swapping.tell_readers(self._main)
        await clean_up(self._main)
        return swapped.held_up

    async def _vacuum(self, schema: str) -> None:
        """So that the first readers find statistics and a map of what is visible to all."""
        for table in await shadow.tables(self._main, schema):
            await self._main.execute(f"vacuum (analyze) {table}")

    async def _enter(self, phase: str, offsets: int = 0) -> None:
        await self._record.enter(phase, offsets)
        self._observer.entered(phase, offsets)

    def _outcome(self, phase: str, comparison: Comparison | None, held_up: float = 0.0) -> Outcome:
        seconds = perf_counter() - self._begun
        return Outcome(phase, comparison, self._events, seconds, held_up)


async def _require_previous(connection: Connection) -> None:
    if not await shadow.exists(connection, PREVIOUS):
        raise NothingToRollBackTo("no rebuild has left any, or they were dropped")
    if await shadow.describe(connection, PREVIOUS) != await shadow.describe(connection, LIVE):
        raise NothingToRollBackTo("a migration has changed the tables since")


async def abort(database_url: str) -> Recorded | None:
    """Drops what an interrupted rebuild or rollback left; gives what it was.

    Raises RebuildUnderWay, DependencyUnavailable.
    """
    async with connected(database_url) as connection, record.alone(connection):
        recorded = await record.last_recorded(connection)
        await clean_up(connection)
        await shadow.drop(connection, NEXT)
        if recorded is None or not recorded.is_under_way:
            return None
        await record.end_interrupted(connection, recorded)
        return recorded


async def drop_previous(database_url: str) -> bool:
    """Frees what a rollback would need; whether there was something.

    Raises RebuildUnderWay, DependencyUnavailable.
    """
    async with connected(database_url) as connection, record.alone(connection):
        there = await shadow.exists(connection, PREVIOUS)
        await shadow.drop(connection, PREVIOUS)
        return there


async def clean_up(connection: Connection) -> None:
    """Takes away the triggers and notes of a rebuild that was killed, or has swapped, and the read
    models that a swap has left no place for."""
    await swapping.disarm(connection)
    await drop_scratch(connection)
    await shadow.drop(connection, swapping.LEAVING)
