"""How the subscriber is doing: for `/readyz`, and for Prometheus."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from services.content.metrics import EVENTS_BEHIND, LAG_SECONDS, PARKED_STREAMS, STATE
from services.core.postgres import Connection
from services.core.service import NotReady
from services.core.subscriber import Health, Observer, Partition, Subscriber


class LagObserver(Observer):
    """Tells Prometheus how far each partition of this member is behind, and only those."""

    def assigned(self, partitions: frozenset[Partition]) -> None:
        EVENTS_BEHIND.clear()

    def lag(self, partition: Partition, events: int) -> None:
        EVENTS_BEHIND.labels(partition.topic, partition.partition).set(events)


def expose(subscriber: Subscriber[Connection]) -> None:
    """From now on the metrics say what the subscriber's status says when they are asked for."""
    LAG_SECONDS.set_function(lambda: subscriber.status.seconds_behind)
    PARKED_STREAMS.set_function(lambda: subscriber.status.parked_streams)
    for health in Health:
        STATE.labels(health.value).set_function(partial(_is, subscriber, health))


def _is(subscriber: Subscriber[Connection], health: Health) -> bool:
    return subscriber.status.health is health


async def check(subscriber: Subscriber[Connection]) -> None:
    """Raises NotReady unless events are handled; one that lags is at work."""
    status = subscriber.status
    if status.health not in (Health.FRESH, Health.LAGGING):
        raise NotReady(f"{status.health}: {status.fault or 'no partitions yet'}")


async def report(subscriber: Subscriber[Connection]) -> Mapping[str, Any]:
    status = subscriber.status
    return {
        "freshness": {
            "state": status.health,
            "events": status.events_behind,
            "seconds": round(status.seconds_behind, 3),
            "parkedStreams": status.parked_streams,
        }
    }
