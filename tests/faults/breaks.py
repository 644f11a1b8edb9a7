"""Faults of a single kind, to meet a mutant where its broken promise shows."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.core.postgres import acquire
from tests.faults.arena import Arena, for_a_while
from tests.faults.scenario import Break
from tests.faults.system import Part
from tests.waiting import eventually

SMALLEST, USUAL = 300, 1_048_588
"""Bytes of a record batch that the broker takes."""


async def work(arena: Arena, faults: int) -> None:
    await arena.until_accepted(faults)
    arena.broke("work")


async def hammer(arena: Arena, faults: int) -> None:
    """Many changes of one influencer at once."""
    for _ in range(faults):
        influencer_id = await arena.load.create()
        path = f"/v1/influencers/{influencer_id}"
        await asyncio.gather(*(arena.load.rename(path, str(n)) for n in range(40)))
        arena.broke("changes at once")


def kill_at(name: str, point: str, passes: int = 3) -> Break:
    """The service dies there, and starts again without."""

    async def kill(arena: Arena, faults: int) -> None:
        part = arena.system.parts[name]
        for _ in range(faults):
            part.kill()
            part.start(FAIL_AT=f"{point}:{passes}")
            await eventually(f"{name} dies", part.has_ended, 30)
            part.start()
            await part.until_ready()
            arena.broke(f"killed at {point}")

    return kill


async def refuse_records(arena: Arena, faults: int) -> None:
    """The broker refuses some records in the middle of transactions, for a moment."""
    for _ in range(faults):
        await _set_largest_batch(arena, SMALLEST)
        await arena.until_accepted(3)
        await _set_largest_batch(arena, USUAL)
        arena.broke("records refused")
    await arena.until_accepted(3)


async def _set_largest_batch(arena: Arena, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=arena.stack.bootstrap_servers)
    await admin.start()
    try:
        topic = arena.system.topics.influencer
        settings = {"max.message.bytes": str(size)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    finally:
        await admin.close()


async def succeed_a_stopped_relay(arena: Arena, faults: int) -> None:
    """It is stopped right before its commit, another one leads and publishes, and it goes on."""
    api = arena.system.parts["api"]
    stopped, successor = _mutated_twin(arena, api), _mutated_twin(arena, api)
    stopped.start(STOP_AT="relay.before_commit")
    await stopped.until_ready()
    api.kill()
    await eventually("the relay stops", stopped.is_stopped, 30)
    successor.start()
    await successor.until_ready()
    await eventually("its successor publishes", lambda: _outbox_is_empty(arena), 30)
    stopped.process.resume()
    arena.broke("a relay has a successor and goes on")
    api.start()
    await api.until_ready()


async def succeed_a_stopped_projector(arena: Arena, faults: int) -> None:
    """It is stopped right before its commit, another one goes on with its partitions until there is
    nothing to do; then it commits, and dies before it can read anew."""
    projector = arena.system.parts["projector"]
    projector.kill()
    projector.start(STOP_AT="mutant.before:2", FAIL_AT="mutant.after:2")
    await eventually("the projector stops", projector.is_stopped, 30)
    successor = arena.system.twin_of(projector)
    successor.start()
    await arena.until_accepted(5)
    await arena.load.end()
    await eventually("its successor is done", lambda: _is_projected(arena), 60)
    await for_a_while(1.0)
    successor.process.pause()  # it would notice, and put the position right
    projector.process.resume()
    await eventually("the projector dies", projector.has_ended, 10)
    arena.broke("a projector has a successor and goes on")


def _mutated_twin(arena: Arena, part: Part) -> Part:
    twin = arena.system.twin_of(part)
    twin.module = part.module
    return twin


async def _outbox_is_empty(arena: Arena) -> bool:
    async with acquire(arena.pool) as connection:
        return not await connection.fetchval("select exists (select from event_log.outbox)")


async def _is_projected(arena: Arena) -> bool:
    query = """
        select not exists (select from event_log.outbox)
           and not exists (select from event_log.streams
                           where state -> 'job' ->> 'status' = 'running')
           and (select coalesce(sum(sequence), 0) from event_log.streams)
             = (select count(*) from read_model.events)
    """
    async with acquire(arena.pool) as connection:
        return bool(await connection.fetchval(query))
