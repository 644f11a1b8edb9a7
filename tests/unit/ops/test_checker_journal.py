"""What the lines of one request say together, and what they claim of the log."""

import pytest

from tests.faults.checker import Journal, JournalEntry, check
from tests.unit.ops.logs import ORGANIZATION, identifier, sound_log


def line(
    outcome: str,
    influencer: int | None = None,
    job: int | None = None,
    *,
    key: str | None = "key-1",
    request: int | None = None,
    sequence: int | None = None,
    caused: bool = False,
) -> JournalEntry:
    return JournalEntry(
        outcome,
        ORGANIZATION,
        identifier("inf", influencer) if influencer else None,
        identifier("job", job) if job else None,
        key,
        identifier("req", request) if request else None,
        sequence,
        caused,
    )


def broken(*entries: JournalEntry, complete: bool = False) -> set[str]:
    return set(check(sound_log().contents(), journal=Journal(entries, complete)).rules_broken)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([line("unknown", 1), line("accepted", 1, 1), line("accepted", 1, 1)], set()),
        ([line("accepted", 1, 1), line("accepted", 3, 3)], {"answers-disagree"}),
        ([line("accepted", 3, 3), line("accepted", 3, 4)], {"answers-disagree"}),
        ([line("accepted", 1, 1), line("refused", 1)], {"answers-disagree"}),
        ([line("refused", 1), line("accepted", 1, 1)], set()),
        ([line("accepted", 1, 1), line("accepted", 3, 3, key="key-2")], set()),
        ([line("accepted", 1, 1, key=None), line("accepted", 3, 3, key=None)], set()),
    ],
)
def test_one_request_has_one_answer(entries: list[JournalEntry], expected: set[str]) -> None:
    assert broken(*entries) == expected


def test_a_refusal_caused_no_event_of_a_stream_that_was_there() -> None:
    assert broken(line("refused", 1, request=99)) == {"refused-but-logged"}
    asked = line("accepted", 1, 1, key="key-2")
    assert broken(asked, line("refused", 1, request=99)) == set()
    assert broken(asked, line("refused", 1, request=2)) == {"refused-but-logged"}


def test_a_request_that_was_refused_at_last_left_nothing_at_all() -> None:
    unknown = line("unknown", 1)
    assert broken(unknown, line("refused", 1)) == {"refused-but-logged"}
    assert broken(unknown, line("refused", 99)) == set()
    assert broken(unknown, line("refused", 1, key="key-2")) == set()


def test_an_accepted_change_is_an_event() -> None:
    last = len(sound_log().records)
    for accepted, expected in (
        (line("accepted", 4, request=last, caused=True), set()),
        (line("accepted", 4, request=99, caused=True), {"accepted-but-missing"}),
        (line("accepted", 4, request=99), set()),
        (line("accepted", 4, sequence=1), set()),
        (line("accepted", 4, sequence=2), {"accepted-but-missing"}),
    ):
        assert broken(accepted) == expected


def test_a_request_that_was_answered_excuses_no_stream() -> None:
    others = [line("accepted", number, key=f"key-{number}") for number in (2, 3, 4)]
    assert broken(*others, line("unknown"), complete=True) == set()
    answered = [line("unknown"), line("accepted", job=3)]
    assert broken(*others, *answered, complete=True) == {"nobody-asked-for"}
