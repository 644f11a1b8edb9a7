"""What a NOTIFY says, as it is read again."""

import pytest

from services.core.notifications import LONGEST_PAYLOAD, Notification


@pytest.mark.parametrize("sender", ["", "0badc0de"])
@pytest.mark.parametrize("names", [None, {}, {"o": ["inf_1", "job_1"], "p": ['a "b", /c é']}])
def test_it_says_who_sent_it_and_what_it_is_about(
    sender: str, names: dict[str, list[str]] | None
) -> None:
    notification = Notification(sender, names)
    assert Notification.read(notification.payload) == notification


def test_too_many_names_are_anything() -> None:
    for count in range(1, 10_000, 7):
        notification = Notification("sender", {"o": ["é" * count]})
        assert len(notification.payload.encode()) <= LONGEST_PAYLOAD
    assert Notification.read(notification.payload) == Notification("sender", None)
