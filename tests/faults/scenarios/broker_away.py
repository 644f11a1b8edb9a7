"""Kafka is away for a while under load: requests are answered, and the backlog drains by itself."""

import asyncio

from tests.faults.arena import Arena, LoadShape, for_a_while
from tests.faults.scenario import Scenario

AWAY_SECONDS = 20.0


async def stop_the_broker(arena: Arena, faults: int) -> None:
    kafka = arena.stack.kafka
    assert kafka is not None
    for turn in range(faults):
        await arena.until_accepted(20)
        unanswered, accepted = arena.journal.unanswered, arena.journal.accepted
        await asyncio.to_thread(kafka.stop if turn % 2 == 0 else kafka.kill)
        arena.broke("Kafka away")
        await for_a_while(AWAY_SECONDS)
        if arena.journal.unanswered > unanswered:
            arena.load.wrong.append("a request was not answered while Kafka was away")
        if arena.journal.accepted < accepted + 50:
            arena.load.wrong.append("requests were hardly accepted while Kafka was away")
        await asyncio.to_thread(kafka.start)


SCENARIOS = [
    Scenario(
        "broker-away",
        stop_the_broker,
        short=1,
        long=4,
        shape=LoadShape(clients=2, pause=0.1),
        breaks_the_stack=True,
    )
]
