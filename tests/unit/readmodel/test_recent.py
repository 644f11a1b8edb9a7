"""States at hand: the latest of each stream, no more than asked for, none of a parked one."""

from services.core.domain.state import INITIAL_STATE, InfluencerStream
from services.core.readmodel.apply import Changes
from services.core.readmodel.recent import RecentStates
from services.core.readmodel.records import StreamId

STATE = InfluencerStream(sequence=1)


def changes_of(*keys: str, state: InfluencerStream = STATE) -> Changes:
    return Changes(streams=dict.fromkeys(keys, state))


def test_the_last_state_is_at_hand() -> None:
    recent = RecentStates()
    recent.remember(changes_of("a", state=INITIAL_STATE))
    recent.remember(changes_of("a"))
    assert recent.among(["a", "b"]) == {"a": STATE}


def test_those_that_changed_least_recently_go() -> None:
    recent = RecentStates(kept=2)
    recent.remember(changes_of("a", "b"))
    recent.remember(changes_of("a", "c"))
    assert recent.among("abc").keys() == {"a", "c"}


def test_parked_and_forgotten_streams_are_not_kept() -> None:
    recent = RecentStates()
    recent.remember(changes_of("a", "b", "c"))
    parking = changes_of("a")
    parking.parked.add(StreamId("topic", "a"))
    recent.remember(parking)
    recent.forget([StreamId("topic", "b"), StreamId("topic", "unknown")])
    assert recent.among("abc").keys() == {"c"}
    recent.clear()
    assert not recent.among("abc")
