"""Which of our consumers are fresh, lagging or stuck, as the log shows it, whatever they say."""

import asyncio
import time
from collections.abc import Mapping

from aiokafka import TopicPartition

from services.core.eventlog.gauge import Behind, LogGauge
from services.core.freshness import Freshness, judged
from services.ops.lag import Lag, measure
from services.ops.settings import OperationsSettings

SECOND_LOOK = 2.0
"""Seconds until it is looked whether a position has moved: each moves once a second, if it can."""

Positions = Mapping[str, dict[TopicPartition, int]]


async def freshness_of_consumers(
    settings: OperationsSettings, measured: Lag, stuck_after: float
) -> dict[str, Freshness]:
    """By name. One that has an event older than `stuck_after` seconds is looked at twice.

    Raises DependencyUnavailable.
    """
    positions = _positions(measured)
    gauge = LogGauge(settings.kafka, settings.topics.events)
    try:
        behind = {name: await gauge.behind(at) for name, at in positions.items()}
    finally:
        await gauge.stop()
    still: Positions = {}
    if any(_is_old(seen, stuck_after) for waits in behind.values() for seen in waits.values()):
        await asyncio.sleep(SECOND_LOOK)
        still = _positions(await measure(settings))
    return {
        name: judged(
            behind[name],
            {p: _still(at, still.get(name, {}).get(p)) for p, at in positions[name].items()},
            time.time(),
            stuck_after,
        )
        for name in positions
    }


def _positions(measured: Lag) -> Positions:
    """Of each consumer, those partitions that have anything for it, and at least its name."""
    found: dict[str, dict[TopicPartition, int]] = {
        consumer.consumer: {} for consumer in measured.consumers
    }
    for row in measured.partitions:
        if row.behind:
            found[row.consumer][TopicPartition(row.topic, row.partition)] = row.position
    return found


def _is_old(seen: Behind, stuck_after: float) -> bool:
    return bool(seen.events) and (
        seen.oldest is None or time.time() - seen.oldest / 1000 >= stuck_after
    )


def _still(position: int, later: int | None) -> float:
    """One that stands in both looks stands for as long as its event waits."""
    return float("inf") if position == later else 0.0
