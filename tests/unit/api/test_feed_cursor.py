"""A cursor of the feed: it says what was written, to its organization alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.feed_cursor import (
    BEGINNING,
    FeedCursors,
    FeedPosition,
    NotAFeedCursor,
    Seen,
    mark_of,
)
from services.core.readmodel.positions import Partition

TOPICS = ("x.influencer", "x.media", "x.content")
OURS, THEIRS = "0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01", "0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a02"
CURSORS = FeedCursors(b"secret", TOPICS)

places = st.builds(Partition, st.sampled_from(TOPICS), st.integers(0, 99))
seen = st.builds(Seen, st.integers(0, 2**63 - 1), st.text().map(mark_of))
positions = st.dictionaries(places, seen, max_size=40)


@given(positions)
def test_it_says_what_was_written(position: FeedPosition) -> None:
    assert CURSORS.read(OURS, CURSORS.text(OURS, position)) == position


@given(positions)
def test_it_is_of_one_organization_and_one_secret(position: FeedPosition) -> None:
    text = CURSORS.text(OURS, position)
    for cursors, organization_id in ((CURSORS, THEIRS), (FeedCursors(b"guess", TOPICS), OURS)):
        with pytest.raises(NotAFeedCursor):
            cursors.read(organization_id, text)


@given(positions, st.data())
def test_it_can_not_be_changed(position: FeedPosition, data: st.DataObject) -> None:
    text = CURSORS.text(OURS, position)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABab01-_=é \n").filter(lambda c: c != text[place]))
    for changed in (text[:place] + other + text[place + 1 :], text[:place], text + other, ""):
        with pytest.raises(NotAFeedCursor):
            CURSORS.read(OURS, changed)


def test_one_from_before_a_topic_was_added_is_still_valid() -> None:
    position = {Partition(TOPICS[1], 3): Seen(200, mark_of("evt_1"))}
    text = FeedCursors(b"secret", TOPICS[:2]).text(OURS, position)
    assert CURSORS.read(OURS, text) == position


def test_it_is_short() -> None:
    begun = {
        Partition(topic, number): Seen(100_000, mark_of("evt_1"))
        for topic in TOPICS
        for number in range(12)
    }
    assert len(CURSORS.text(OURS, BEGINNING)) == 26
    assert len(CURSORS.text(OURS, dict(list(begun.items())[:12]))) <= 120
    assert len(CURSORS.text(OURS, begun)) < 280
