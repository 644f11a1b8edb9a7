"""A cluster of three brokers, of which one is killed, then another, then two at a time."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.kafka import LocalKafka
from tests.faults.arena import Arena, LoadShape, for_a_while
from tests.faults.cluster import NODES, ClusterStack, three_brokers
from tests.faults.scenario import Scenario

GROUP, TRANSACTION = 0, 1
DOWN_SECONDS = 4.0


async def kill_brokers(arena: Arena, faults: int) -> None:
    for turn in range(faults):
        what, kill = KILLS[turn % len(KILLS)]
        await arena.until_accepted(3)
        await arena.a_moment(1.0)
        await kill(arena)
        arena.broke(what)


async def _kill_a_leader(arena: Arena) -> None:
    async with _Admin(arena) as admin:
        [topic] = await admin.describe_topics([arena.system.topics.influencer])
        leader = arena.chance.choice(topic["partitions"])["leader"]
    await _down_for_a_while(arena, leader)


async def _kill_the_transaction_coordinator(arena: Arena) -> None:
    place = arena.system.topics.named("influencer-relay-0-0")
    await _kill_coordinator(arena, place, TRANSACTION)


async def _kill_the_group_coordinator(arena: Arena) -> None:
    await _kill_coordinator(arena, arena.system.topics.named("influencer-projector"), GROUP)


async def _kill_coordinator(arena: Arena, key: str, kind: int) -> None:
    async with _Admin(arena) as admin:
        node = await admin.find_coordinator(key, coordinator_type=kind)
    await _down_for_a_while(arena, node)


async def _kill_two(arena: Arena) -> None:
    """Nothing can be committed until one of them is back; requests are accepted all the same."""
    survivor = arena.chance.randrange(NODES)
    await _down_for_a_while(arena, *(n + 1 for n in range(NODES) if n != survivor))


async def _roll_all(arena: Arena) -> None:
    """Stopped politely and started, one after the other, as an upgrade does it."""
    for node in _nodes(arena):
        await asyncio.to_thread(node.stop, 15)
        node.begin()
        await asyncio.to_thread(node.wait_until_ready)


async def _down_for_a_while(arena: Arena, *numbers: int) -> None:
    nodes = [node for node in _nodes(arena) if node.node_id in numbers]
    for node in nodes:
        node.kill()
    await for_a_while(DOWN_SECONDS)
    for node in nodes:
        node.begin()
    for node in nodes:
        await asyncio.to_thread(node.wait_until_ready)


def _nodes(arena: Arena) -> tuple[LocalKafka, ...]:
    assert isinstance(arena.stack, ClusterStack)
    return arena.stack.nodes


class _Admin:
    def __init__(self, arena: Arena) -> None:
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=arena.stack.bootstrap_servers, request_timeout_ms=8_000
        )

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


KILLS: list[tuple[str, Callable[[Arena], Awaitable[None]]]] = [
    ("kill -9 a partition's leader", _kill_a_leader),
    ("kill -9 the transaction coordinator", _kill_the_transaction_coordinator),
    ("kill -9 the group coordinator", _kill_the_group_coordinator),
    ("kill -9 two brokers of three", _kill_two),
    ("roll all brokers", _roll_all),
]

SCENARIOS = [
    Scenario(
        "brokers",
        kill_brokers,
        short=len(KILLS),
        long=15,
        shape=LoadShape(pause=0.3),
        stack=three_brokers,
        replication_factor=3,
    )
]
