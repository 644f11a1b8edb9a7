"""Fresh, lagging or stuck: told from what the loop notes down."""

from datetime import UTC, datetime, timedelta

from services.core.subscriber import Health, Partition, StoreUnavailable
from services.core.subscriber.status import Progress

PLACE = Partition("influencer.events.v1", 0)
BEGAN = datetime(2026, 11, 24, tzinfo=UTC)


class Watch:
    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def joined() -> tuple[Progress, Watch]:
    watch = Watch()
    progress = Progress(watch, is_running=True)
    progress.assign(frozenset({PLACE}))
    return progress, watch


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_before_and_after() -> None:
    progress = Progress(Watch())
    assert progress.status().health is Health.STOPPED
    progress.is_running = True
    assert progress.status().health is Health.STARTING
    progress.assign(frozenset())
    assert progress.status().health is Health.FRESH  # others hold all partitions


def test_behind_by_events_and_seconds() -> None:
    progress, watch = joined()
    progress.took(PLACE, milliseconds(watch.now))
    progress.measured({PLACE: 7})
    watch.later(3)
    assert progress.status().health is Health.FRESH
    watch.later(9)
    status = progress.status()
    assert (status.health, status.events_behind, status.seconds_behind) == (Health.LAGGING, 7, 12)
    progress.measured({PLACE: 0})
    assert (progress.status().health, progress.status().seconds_behind) == (Health.FRESH, 0)


def test_a_backlog_that_nothing_was_taken_of_is_not_fresh_for_long() -> None:
    progress, watch = joined()
    progress.measured({PLACE: 7})
    assert progress.status().health is Health.FRESH
    watch.later(6)
    progress.measured({PLACE: 9})
    assert (progress.status().health, progress.status().seconds_behind) == (Health.LAGGING, 6)
    progress.took(PLACE, milliseconds(BEGAN - timedelta(hours=3)))
    assert progress.status().seconds_behind == 3 * 3600 + 6


def test_an_event_after_a_quiet_hour_is_not_an_hour_old() -> None:
    progress, watch = joined()
    progress.took(PLACE, milliseconds(watch.now))
    watch.later(3598)
    progress.measured({PLACE: 0})
    watch.later(2)
    progress.measured({PLACE: 1})
    assert (progress.status().health, progress.status().seconds_behind) == (Health.FRESH, 2)


def test_under_steady_load_it_is_as_old_as_what_was_taken_last() -> None:
    progress, watch = joined()
    progress.measured({PLACE: 0})
    for _ in range(30):
        watch.later(2)
        progress.took(PLACE, milliseconds(watch.now))
        progress.measured({PLACE: 3})
    watch.later(1)
    assert (progress.status().health, progress.status().seconds_behind) == (Health.FRESH, 1)


def test_stuck_when_it_does_not_move() -> None:
    progress, watch = joined()
    watch.later(3600)
    progress.measured({PLACE: 1})
    assert progress.status().health is Health.FRESH
    watch.later(31)
    progress.measured({PLACE: 2})
    assert progress.status().health is Health.STUCK
    progress.took(PLACE, milliseconds(BEGAN))
    assert progress.status().health is Health.LAGGING


def test_a_fault_is_told_and_becomes_stuck() -> None:
    progress, watch = joined()
    progress.cannot(StoreUnavailable("away"))
    assert progress.status().health is Health.LAGGING
    assert progress.status().fault == "StoreUnavailable: away"
    watch.later(20)
    progress.cannot(StoreUnavailable("away"))
    watch.later(11)
    assert progress.status().health is Health.STUCK
    progress.works()
    assert (progress.status().health, progress.status().fault) == (Health.FRESH, None)


def test_what_went_away_is_not_counted() -> None:
    progress, _ = joined()
    progress.measured({PLACE: 5})
    progress.assign(frozenset())
    assert progress.status().events_behind == 0
