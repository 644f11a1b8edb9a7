"""Commit → visible to a `read_committed` subscriber, at 200 events a second."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from uuid import uuid4

from schemas.ids import Prefix, UlidSource
from schemas.profile import Profile
from services.core.clock import system_clock
from services.core.domain.commands import CreateInfluencer
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.read import committed_consumer, partitions_of
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.requests import Appended, AppendRequest
from services.core.eventlog.topics import TopicNames
from services.core.postgres import open_pool
from tests.waiting import eventually

RATE = 200
SECONDS = 15
WARM_UP = 400
IDS = UlidSource()


@dataclass(frozen=True)
class Delays:
    """Seconds."""

    p50: float
    p99: float
    events: int


async def bench_visible(database_url: str, bootstrap_servers: str, topics: TopicNames) -> Delays:
    """Appends, relays and subscribes in this process, as an api with its relay does."""
    pool = await open_pool(database_url, size=4, application="bench")
    relay = ShardRelay(database_url, bootstrap_servers, topics)
    group_commit = GroupCommit(
        pool,
        clock=system_clock,
        ids=IDS,
        write_read_models=True,
        after_commit=relay.wake.set,
    )
    await group_commit.start()
    committed: dict[str, float] = {}
    seen: dict[str, float] = {}
    tasks = [
        asyncio.create_task(relay.run()),
        asyncio.create_task(_subscribe(bootstrap_servers, topics.influencer, seen)),
    ]
    try:
        await _append_at_rate(group_commit, committed)
        await eventually("all is seen", lambda: _all_seen(committed, seen))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await group_commit.stop()
        pool.terminate()
    delays = [seen[event] - at for event, at in committed.items()][WARM_UP:]
    delays.sort()
    return Delays(delays[len(delays) // 2], delays[int(len(delays) * 0.99)], len(delays))


async def _all_seen(committed: dict[str, float], seen: dict[str, float]) -> bool:
    return len(seen) >= len(committed)


async def _append_at_rate(group_commit: GroupCommit, committed: dict[str, float]) -> None:
    organization_id, project_id = str(uuid4()), str(uuid4())

    async def one() -> None:
        outcome = await group_commit.append(_request(organization_id, project_id))
        assert isinstance(outcome, Appended)
        committed[outcome.events[0].id] = perf_counter()

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(RATE * SECONDS):
            group.create_task(one())
            ahead = started + (number + 1) / RATE - perf_counter()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), max(ahead, 0))


def _request(organization_id: str, project_id: str) -> AppendRequest:
    request_id = IDS.new(Prefix.REQUEST)
    command = CreateInfluencer(
        organization_id=organization_id,
        influencer_id=IDS.new(Prefix.INFLUENCER),
        project_id=project_id,
        job_id=IDS.new(Prefix.JOB),
        profile=Profile(name="Ava Chen", style="minimalist streetwear", vibe="warm"),
    )
    return AppendRequest(command, "/bench", request_id, request_id, "")


async def _subscribe(bootstrap_servers: str, topic: str, seen: dict[str, float]) -> None:
    consumer = committed_consumer(bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign(await partitions_of(consumer, topic))
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                now = perf_counter()
                for record in records:
                    seen[dict(record.headers)["ce_id"].decode()] = now
    finally:
        await consumer.stop()
