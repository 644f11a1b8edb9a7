"""The disk of Postgres, of Kafka, of the object store, or of the api's uploads is full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.stack import Stack, cache_directory
from tests.faults.arena import Arena, LoadShape
from tests.faults.part_log import log_from_now
from tests.faults.probe import Probe, probe_of
from tests.faults.proxy import Proxy
from tests.faults.scenario import Scenario
from tests.faults.small_disk import SmallDisk, small_disk, why_no_small_disks
from tests.faults.system import System
from tests.waiting import eventually

NO_SPACE = "No space left on device"
POSTGRES_MEGABYTES, KAFKA_MEGABYTES, MEDIA_MEGABYTES, SPOOL_MEGABYTES = 400, 400, 64, 8
UPLOAD_BYTES = 1024 * 1024
"""More than the api keeps in memory."""
FAILED = """
select count(*) from event_log.streams
where state ? 'influencer' and state -> 'job' ->> 'status' = 'failed'
"""
PARKED = "select count(*) from content.subscriber_parked"


@dataclass(frozen=True)
class SmallDisksStack(Stack):
    """Postgres and Kafka each on a disk of its own; their logs are elsewhere."""

    postgres_disk: SmallDisk | None = None
    kafka_disk: SmallDisk | None = None


@contextmanager
def on_small_disks(folder: Path) -> Iterator[SmallDisksStack]:
    with (
        small_disk(folder / "postgres", POSTGRES_MEGABYTES) as postgres_disk,
        small_disk(folder / "kafka", KAFKA_MEGABYTES) as kafka_disk,
        LocalPostgres(postgres_disk.folder, log=folder / "postgres.log") as postgres,
        LocalKafka(kafka_disk.folder, cache=cache_directory(), log=folder / "kafka.log") as kafka,
    ):
        yield SmallDisksStack(
            postgres.dsn, kafka.bootstrap_servers, kafka, postgres, postgres_disk, kafka_disk
        )


@asynccontextmanager
async def media_on_small_disks(system: System, _: Stack) -> AsyncIterator[Mapping[str, Proxy]]:
    """The object store, and where the api keeps uploads while they arrive."""
    async with AsyncExitStack() as mounted:
        mounted.enter_context(small_disk(system.media_folder, MEDIA_MEGABYTES))
        spool = mounted.enter_context(small_disk(_spool(system), SPOOL_MEGABYTES))
        api = system.parts["api"]
        api.environment = {**api.environment, "TMPDIR": str(spool.folder)}
        yield {}


async def fill_each(arena: Arena, faults: int) -> None:
    probe = await probe_of(arena)
    for turn in range(faults):
        what, fill = DISKS[turn % len(DISKS)]
        await arena.until_accepted(5)
        await fill(arena, probe)
        arena.broke(f"the disk of {what} is full")
        await probe.until_available()
        await arena.until_accepted(5)
    if failed := await arena.pool.fetchval(FAILED):
        arena.load.wrong.append(f"{failed} jobs failed, for want of space")
    if parked := await arena.pool.fetchval(PARKED):
        arena.load.wrong.append(f"{parked} events are parked, for want of space")


async def _fill_postgres(arena: Arena, probe: Probe) -> None:
    """Clients are told to come back; should it have ended, its supervisor starts it again."""
    stack = _stack(arena)
    assert stack.postgres is not None
    assert stack.postgres_disk is not None
    log = log_from_now(stack.postgres.log)
    await asyncio.to_thread(stack.postgres_disk.fill)
    await log.until_says(NO_SPACE)
    await probe.until_unavailable()
    await arena.a_moment(2.0)
    await asyncio.to_thread(stack.postgres_disk.free)
    await eventually("Postgres serves again", lambda: _is_served(stack.postgres, probe), within=60)


async def _is_served(postgres: LocalPostgres | None, probe: Probe) -> bool:
    if postgres is not None and not postgres.is_running():
        await asyncio.to_thread(postgres.start)
    return await probe.is_available()


async def _fill_kafka(arena: Arena, _: Probe) -> None:
    """Kafka ends when it can't write; requests are accepted all the same."""
    stack = _stack(arena)
    kafka = stack.kafka
    assert kafka is not None
    assert stack.kafka_disk is not None
    log = log_from_now(kafka.log)
    await asyncio.to_thread(stack.kafka_disk.fill)
    await log.until_says(NO_SPACE)
    await arena.until_accepted(10)
    await asyncio.to_thread(stack.kafka_disk.free)
    await eventually("Kafka ends", lambda: _has_ended(kafka), within=30)
    await asyncio.to_thread(kafka.start)


async def _fill_the_object_store(arena: Arena, _: Probe) -> None:
    """Renders wait for space; requests are accepted all the same."""
    disk = SmallDisk(arena.system.media_folder)
    log = log_from_now(arena.system.parts["renderer"].process.log)
    await asyncio.to_thread(disk.fill)
    await log.until_says(NO_SPACE, times=3)
    await arena.until_accepted(10)
    await asyncio.to_thread(disk.free)


async def _fill_the_spool(arena: Arena, _: Probe) -> None:
    """Whoever uploads is told to come back."""
    disk = SmallDisk(_spool(arena.system))
    await _upload(arena)  # Python looks for a folder with space only once
    await asyncio.to_thread(disk.fill)
    status, retry_after = await _upload(arena)
    if (status, (retry_after or "").isdigit()) != (503, True):
        arena.load.wrong.append(f"an upload got {status}, Retry-After {retry_after}")
    await asyncio.to_thread(disk.free)
    status, _nothing = await _upload(arena)
    if status != 200:
        arena.load.wrong.append(f"with space again, an upload got {status}")


async def _upload(arena: Arena) -> tuple[int, str | None]:
    """Status and Retry-After; it is never finalized, so nothing comes of it."""
    system = arena.system
    url = f"{system.base_url}/v1/projects/{system.project_id}/media/presign"
    body = {"kind": "image", "mimeType": "image/png"}
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=body, headers={"X-Api-Key": system.api_key}) as answer:
            announced = await answer.json()
        async with session.put(
            announced["url"], data=bytes(UPLOAD_BYTES), headers=announced["headers"]
        ) as answer:
            return answer.status, answer.headers.get("Retry-After")


async def _has_ended(kafka: LocalKafka) -> bool:
    return not kafka.is_running()


def _spool(system: System) -> Path:
    return system.folder / "spool"


def _stack(arena: Arena) -> SmallDisksStack:
    assert isinstance(arena.stack, SmallDisksStack)
    return arena.stack


DISKS: list[tuple[str, Callable[[Arena, Probe], Awaitable[None]]]] = [
    ("the object store", _fill_the_object_store),
    ("Kafka", _fill_kafka),
    ("Postgres", _fill_postgres),
    ("the api's uploads", _fill_the_spool),
]

SCENARIOS = [
    Scenario(
        "disk-full",
        fill_each,
        short=len(DISKS),
        long=16,
        shape=LoadShape(pause=0.2),
        stack=on_small_disks,
        network=media_on_small_disks,
        impossible=why_no_small_disks,
    )
]
