"""The log becomes rows; what the append has written already is left as it is."""

import asyncio
from itertools import pairwise

import asyncpg

from schemas.events import Event
from services.core.domain.evolve import fold
from services.core.notifications import READ_MODEL_CHANNEL
from services.core.postgres import Pool, acquire
from services.core.readmodel.apply import Changes
from services.core.readmodel.store import COPIED_FROM, write, written_rows
from services.projector.projector import Projector
from tests.bench.histories import EVENTS_EACH, history, interleaved
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels
from tests.waiting import eventually


async def test_the_rows_equal_a_fold_of_the_log(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    events = list(interleaved(30, at_once=10))
    for start in range(0, len(events), 40):
        await log.write(events[start : start + 40])

    await models.has_rows("events", len(events))
    await models.assert_equal_a_fold_of(events)
    assert await models.count("media_assets") == 30 * 4
    assert not await models.quarantine()


async def test_what_is_on_the_log_twice_is_there_once(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    events = list(interleaved(60, at_once=10))
    later = list(history())
    assert len(events) > COPIED_FROM
    await log.write(events, partition=0)
    await log.write([*events, *later], partition=0)

    await models.has_rows("events", len(events) + len(later))
    await models.assert_equal_a_fold_of([*events, *later])
    set_aside = await models.quarantine()
    assert len(set_aside) == len(events)
    assert all(row["repeated"] for row in set_aside)


async def test_aborted_records_are_never_seen(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    await log.write_aborted(history())
    events = list(history())
    await log.write(events)

    await models.has_rows("events", len(events))
    await models.assert_equal_a_fold_of(events)


async def test_rows_that_the_append_wrote_are_skipped(
    pool: Pool, log: Log, models: ReadModels, projector: Projector
) -> None:
    events = list(history())
    await write_rows_as_of(pool, events[:6])
    await log.write(events)

    await models.has_rows("events", len(events))
    await models.assert_equal_a_fold_of(events)
    assert not await models.quarantine()


async def test_rows_that_are_ahead_of_the_log_never_go_back(
    pool: Pool, log: Log, models: ReadModels, projector: Projector
) -> None:
    events = list(history())
    await write_rows_as_of(pool, events)
    for event in events:
        await log.write([event])
        (sequence,) = (await models.sequences()).values()
        assert sequence == len(events)

    await models.has_rows("events", len(events))
    assert list((await models.sequences()).values()) == [len(events)]


async def test_a_reader_never_sees_a_row_go_back(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    count = 20
    seen: list[dict[str, int]] = []

    async def watch() -> bool:
        seen.append(await models.sequences())
        return sum(seen[-1].values()) == count * EVENTS_EACH

    watching = asyncio.create_task(eventually("all rows", watch, 30))
    events = list(interleaved(count, at_once=count))
    for start in range(0, len(events), 7):
        await log.write(events[start : start + 7])
    await watching

    for before, after in pairwise(seen):
        assert all(after.get(key, 0) >= sequence for key, sequence in before.items())


async def test_waiting_readers_are_told(
    database_url: str, projector: Projector, log: Log, models: ReadModels
) -> None:
    told = asyncio.Event()
    connection = await asyncpg.connect(database_url)
    await connection.add_listener(READ_MODEL_CHANNEL, lambda *_: told.set())
    await log.write(history())
    await asyncio.wait_for(told.wait(), 20)
    await connection.close()


async def write_rows_as_of(pool: Pool, events: list[Event]) -> None:
    state = fold(events)
    assert state.job
    changes = Changes(streams={events[0].key: state}, jobs={state.job.job_id: state.job})
    async with acquire(pool) as connection:
        await write(connection, written_rows(changes), copied=False)
