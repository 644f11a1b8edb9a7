"""Fresh, lagging or stuck: judged from positions and what waits behind them."""

from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition

from services.core.eventlog.gauge import NOT_BEHIND, Behind
from services.core.freshness import Freshness, FreshnessMeter

HERE, THERE = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class Clock:
    at: float = 1000.0
    meter: FreshnessMeter[TopicPartition] = field(init=False)

    def __post_init__(self) -> None:
        self.meter = FreshnessMeter(10.0, lambda: self.at, lambda: self.at)

    def after(self, seconds: float, position: int, behind: Behind) -> Freshness:
        self.at += seconds
        positions = {HERE: position, THERE: 7}
        return self.meter.measured(positions, {HERE: behind, THERE: NOT_BEHIND})


def written(seconds: float, events: int = 3) -> Behind:
    """Events of which the oldest came at that second."""
    return Behind(events, int(seconds * 1000))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_waits(clock: Clock) -> None:
    assert clock.after(0, 5, NOT_BEHIND) == Freshness("fresh")


def test_what_has_just_come_is_no_lag(clock: Clock) -> None:
    assert clock.after(0, 5, written(999)).state == "fresh"


def test_a_lag_tells_events_and_seconds(clock: Clock) -> None:
    found = clock.after(0, 5, written(996.5))
    assert (found.state, found.events, found.seconds) == ("lagging", 3, 3.5)
    assert str(found) == "lagging: 3 events, the oldest 3.5 s old"


def test_who_moves_is_never_stuck_however_far_behind(clock: Clock) -> None:
    clock.after(0, 5, written(0))
    for position in range(6, 20):
        assert clock.after(4, position, written(0, 9000)).state == "lagging"


def test_who_does_not_move_is_stuck_after_a_while(clock: Clock) -> None:
    states = [clock.after(4, 5, written(999)).state for _ in range(4)]
    assert states == ["lagging", "lagging", "lagging", "stuck"]
    stuck = clock.after(4, 5, written(999, 8))
    assert (stuck.stuck, stuck.still) == (("t/0",), 16)
    assert "no move for 16 s on t/0" in str(stuck)
    assert clock.after(4, 6, written(1000)).state == "lagging"
    assert clock.after(4, 9, NOT_BEHIND).state == "fresh"


def test_an_idle_partition_is_not_stuck(clock: Clock) -> None:
    for _ in range(10):
        assert clock.after(5, 5, NOT_BEHIND).state == "fresh"
    assert clock.after(5, 5, written(1054)).state == "fresh"
    assert clock.after(5, 5, written(1054)).state == "lagging"


def test_a_process_that_was_paused_is_not_stuck(clock: Clock) -> None:
    clock.after(0, 5, written(999))
    assert clock.after(3600, 5, written(999)).state == "lagging"


def test_an_age_that_cannot_be_read_counts_from_when_it_was_seen(clock: Clock) -> None:
    clock.after(0, 5, Behind(2, None))
    assert clock.after(3, 5, Behind(2, None)).seconds == 3


def test_a_partition_that_was_lost_is_forgotten(clock: Clock) -> None:
    for _ in range(5):
        clock.after(5, 5, written(0))
    assert clock.meter.measured({}, {}).state == "fresh"
    assert clock.after(5, 5, written(0)).state == "lagging"
