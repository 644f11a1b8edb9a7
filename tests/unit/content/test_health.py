"""What Prometheus is told of the lag: of the partitions that this member has, and of no others."""

from services.content.health import LagObserver
from services.content.metrics import EVENTS_BEHIND
from services.core.subscriber import Partition

FIRST, SECOND = (Partition("influencer.events.v1", number) for number in (0, 1))


def told() -> dict[str, float]:
    [metric] = EVENTS_BEHIND.collect()
    return {sample.labels["partition"]: sample.value for sample in metric.samples}


def test_a_partition_that_went_away_is_not_told_any_more() -> None:
    observer = LagObserver()
    observer.lag(FIRST, 3)
    observer.lag(SECOND, 4)
    assert told() == {"0": 3, "1": 4}
    observer.assigned(frozenset({SECOND}))
    observer.lag(SECOND, 1)
    assert told() == {"1": 1}
