"""Whatever is killed or stopped, and whenever: every event is folded once, and none twice."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from deploy.local.stack import Stack
from schemas.events import Event
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Connection, Pool, acquire, open_pool
from services.core.readmodel.positions import (
    Move,
    Partition,
    PositionMoved,
    advance_positions,
    read_positions,
)
from services.projector.projector import Projector
from tests.bench.histories import history, interleaved
from tests.integration.projector.log import Log
from tests.integration.projector.models import ReadModels
from tests.integration.projector.process import projector_process
from tests.reading import read_settled
from tests.waiting import eventually

KILLS = 5
CUT_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


async def test_killed_again_and_again_under_load(
    stack: Stack, topics: TopicNames, database_url: str, log: Log, models: ReadModels
) -> None:
    events = list(interleaved(250, at_once=50))
    writing = asyncio.create_task(write_in_pieces(log, events))
    servers = stack.bootstrap_servers
    for kill in range(1, KILLS + 1):
        async with projector_process(database_url, servers, topics, 20, "one") as running:
            await eventually("progress", some_rows(models, kill * 100), 40)
            await running.kill()
    await writing

    async with projector_process(database_url, servers, topics, 100, "one") as running:
        await models.has_rows("events", len(events), within=40)
        await models.assert_equal_a_fold_of(events)
        await assert_positions_fit(stack, topics, models, len(events))
        assert not await models.quarantine()
        assert await running.terminate(within=3) == 0


async def test_a_zombie_neither_doubles_nor_regresses(
    stack: Stack, topics: TopicNames, database_url: str, log: Log, models: ReadModels
) -> None:
    events = list(interleaved(150, at_once=150))
    servers = stack.bootstrap_servers
    async with projector_process(database_url, servers, topics, 20) as zombie:
        await log.write(events[:400])
        await eventually("progress", some_rows(models, 60), 30)
        zombie.signal(signal.SIGSTOP)
        async with projector_process(database_url, servers, topics, 20) as successor:
            await models.has_rows("events", 400, within=60)
            zombie.signal(signal.SIGCONT)
            await write_in_pieces(log, events[400:])
            await models.has_rows("events", len(events), within=60)
            await eventually("the zombie to be back in the group", zombie.is_ready, 40)
            await successor.until_ready()
            more = list(history())
            await log.write(more)
            await models.has_rows("events", len(events) + len(more), within=40)
            await models.assert_equal_a_fold_of([*events, *more])
            assert not await models.quarantine()


@pytest.fixture
async def uncut(database_url: str) -> AsyncIterator[ReadModels]:
    """Seen over the one connection that cuts the others: the projector's pool is the test's."""
    own = await open_pool(database_url, size=1, application="test")
    yield ReadModels(own)
    own.terminate()


async def test_a_cut_connection_is_no_poison(
    projector: Projector, log: Log, uncut: ReadModels
) -> None:
    events = list(interleaved(100, at_once=50))
    writing = asyncio.create_task(write_in_pieces(log, events))
    for cut in range(1, 6):
        await eventually("progress", some_rows(uncut, cut * 100), 30)
        await uncut.fetch(CUT_OTHERS)
    await writing

    await uncut.has_rows("events", len(events), within=40)
    await uncut.assert_equal_a_fold_of(events)
    assert not await uncut.quarantine()


async def test_a_position_moves_from_where_it_is_or_not_at_all(pool: Pool) -> None:
    here, there = Partition("t", 0), Partition("t", 1)
    async with acquire(pool) as connection:
        assert await offsets_of(connection, here, there) == [0, 0]
        async with connection.transaction():
            await advance_positions(connection, {here: Move(0, 5), there: Move(0, 7)})
        with pytest.raises(PositionMoved) as refused:
            async with connection.transaction():
                await advance_positions(connection, {here: Move(5, 9), there: Move(0, 9)})
        assert set(refused.value.partitions) == {there}
        assert await offsets_of(connection, here, there) == [5, 7]


async def test_a_position_of_another_build_of_the_read_models_does_not_move(pool: Pool) -> None:
    here = Partition("t", 0)
    async with acquire(pool) as connection:
        build = (await read_positions(connection, [here]))[here].build
        await advance_positions(connection, {here: Move(0, 5, build)})
        with pytest.raises(PositionMoved):
            await advance_positions(connection, {here: Move(5, 6, build + 1)})
        assert await offsets_of(connection, here) == [5]


async def offsets_of(connection: Connection, *partitions: Partition) -> list[int]:
    positions = await read_positions(connection, partitions)
    return [positions[partition].next_offset for partition in partitions]


async def test_it_says_when_it_is_ready_and_stops_promptly(
    stack: Stack, topics: TopicNames, database_url: str, log: Log, models: ReadModels
) -> None:
    async with projector_process(database_url, stack.bootstrap_servers, topics) as running:

        async def metrics_tell() -> bool:
            _, metrics = await running.get("/metrics")
            return "projector_events_total 8.0" in metrics and "projector_lag{" in metrics

        await running.until_ready()
        await log.write(history())
        await models.has_rows("events", 8)
        await eventually("metrics", metrics_tell, 20)
        assert await running.terminate(within=3) == 0


async def test_without_kafka_it_waits_and_says_so(topics: TopicNames, database_url: str) -> None:
    async with projector_process(database_url, "127.0.0.1:1", topics) as running:

        async def says_so() -> bool:
            status, body = await running.get("/readyz")
            return status == 503 and "KafkaConnectionError" in body

        await eventually("unreadiness with its reason", says_so, 30)
        assert await running.terminate(within=3) == 0


async def write_in_pieces(log: Log, events: Sequence[Event], size: int = 25) -> None:
    for start in range(0, len(events), size):
        await log.write(events[start : start + size])


def some_rows(models: ReadModels, count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return await models.count("events") >= count

    return reached


async def assert_positions_fit(
    stack: Stack, topics: TopicNames, models: ReadModels, count: int
) -> None:
    """Each position is the one after the partition's last event."""
    last: dict[int, int] = {}
    for record in await read_settled(stack.bootstrap_servers, topics.influencer, count):
        last[record.partition] = max(record.offset, last.get(record.partition, 0))
    rows = await models.fetch("select * from read_model.projection_offsets where next_offset > 0")
    assert {row["partition"]: row["next_offset"] - 1 for row in rows} == last
