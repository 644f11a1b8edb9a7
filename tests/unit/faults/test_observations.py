"""What readers see that can't be is named by its own rule."""

from typing import Any

import pytest

from tests.faults.observations import FeedObservations, Observations
from tests.faults.rules import rule_of

PATH = "/v1/jobs/job_1"


def record(sequence: int, status: str = "running", **more: Any) -> dict[str, Any]:
    return {"sequence": sequence, "status": status, **more}


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (record(3), record(3), None),
        (record(3), record(4, "completed"), None),
        (record(3), record(2), "read-went-back"),
        (record(3, progress=0.5), record(4, progress=0.25), "progress-fell"),
        (record(3, "canceled"), record(4, "completed"), "ended-job-changed"),
    ],
)
def test_reads_that_go_back_are_named(
    before: dict[str, Any], after: dict[str, Any], rule: str | None
) -> None:
    seen = Observations()
    seen.saw(PATH, None, before)
    seen.saw(PATH, seen.latest(PATH), after)
    assert [rule_of(wrong) for wrong in seen.wrong] == ([rule] if rule else [])


def test_what_is_missing_is_named_unless_it_may_be_gone() -> None:
    seen = Observations()
    seen.missed(PATH, may_be_gone=True)
    assert seen.wrong == []
    seen.saw(PATH, seen.latest(PATH), record(9))
    assert [rule_of(wrong) for wrong in seen.wrong] == ["gone-and-back"]
    seen.missed(PATH, may_be_gone=False)
    assert rule_of(seen.wrong[-1]) == "accepted-but-not-there"


def test_an_influencer_that_failed_may_be_rendered_anew() -> None:
    seen = Observations()
    path = "/v1/influencers/inf_1"
    seen.saw(path, None, record(4, "failed"))
    seen.saw(path, seen.latest(path), record(5, "pending"))
    assert seen.wrong == []


def test_reads_that_overlap_may_end_in_any_order() -> None:
    seen = Observations()
    seen.saw(PATH, None, record(4))
    seen.saw(PATH, None, record(3))
    assert seen.wrong == []
    assert seen.latest(PATH) == record(4)


def event(sequence: int, subject: str = "inf_1", identifier: str = "") -> dict[str, Any]:
    return {
        "subject": subject,
        "sequence": str(sequence),
        "id": identifier or f"{subject}/{sequence}",
    }


@pytest.mark.parametrize(
    ("events", "rules"),
    [
        ([event(1), event(1, "inf_2"), event(2)], []),
        ([event(1), event(3)], ["feed-gap"]),
        ([event(2)], ["feed-gap"]),
        ([event(1), event(2), event(1)], ["feed-doubled"]),
        ([event(1), event(2, identifier="inf_1/1")], ["feed-doubled"]),
    ],
)
def test_a_feed_that_misses_or_repeats_is_named(
    events: list[dict[str, Any]], rules: list[str]
) -> None:
    feed = FeedObservations("pages")
    for each in events:
        feed.saw(each)
    assert [rule_of(wrong) for wrong in feed.wrong] == rules


def test_a_feed_has_what_is_on_the_log() -> None:
    feed = FeedObservations("pages")
    feed.saw(event(1))
    feed.compare(["inf_1/1"])
    assert feed.wrong == []
    feed.compare(["inf_1/1", "inf_1/2"])
    feed.compare([])
    assert [rule_of(wrong) for wrong in feed.wrong] == ["feed-incomplete"] * 2
