"""`influencerctl history`: an influencer as it was then, told by the log alone."""

import pytest

from services.core.domain.evolve import fold
from services.core.domain.state import InfluencerStream
from tests.integration.ops.history import History
from tests.integration.ops.installation import Installation


def as_told(state: InfluencerStream) -> object:
    return state.model_dump(mode="json", by_alias=True, exclude={"sequence"})


async def test_it_is_what_it_was_after_each_event(sound: Installation, history: History) -> None:
    events = history.of(history.completed)
    influencer = history.completed.influencer_id
    for count, event in enumerate(events, start=1):
        told = (await sound.ctl("history", influencer, "--at", str(count), "--json")).json
        assert told["state"] == as_told(fold(events[:count]))
        assert (told["sequence"], told["lastSequence"]) == (count, len(events))
        assert told["events"][-1]["id"] == event.id
    now = (await sound.ctl("history", influencer, "--json")).json
    assert now["state"] == as_told(fold(events))
    assert now["fault"] is None


async def test_at_a_time(sound: Installation, history: History) -> None:
    events = history.of(history.canceled)
    influencer = history.canceled.influencer_id
    for moment in (events[1].time, events[-1].time):
        told = (await sound.ctl("history", influencer, "--at", moment, "--json")).json
        assert [e["id"] for e in told["events"]] == [e.id for e in events if e.time <= moment]
    before = await sound.ctl("history", influencer, "--at", "1d")
    assert (before.status, before.out) == (1, "")
    assert before.err == f"{influencer} did not exist then\n"
    beyond = await sound.ctl("history", influencer, "--at", "5")
    assert (beyond.status, beyond.err) == (1, f"{influencer} has 4 events only\n")


async def test_what_each_event_changed(sound: Installation, history: History) -> None:
    influencer = history.canceled.influencer_id
    told = (await sound.ctl("history", influencer, "--json")).json["events"]
    changes = [{change["path"]: change for change in event["changes"]} for event in told]
    assert changes[0]["influencer.profile.name"]["after"] == "Bo"
    assert changes[1]["influencer.status"] == {
        "path": "influencer.status",
        "before": "pending",
        "after": "training",
    }
    assert changes[2]["influencer.referenceImages[0]"]["after"]["view"] == "portrait"
    assert changes[3]["job.status"]["after"] == "canceled"

    shown = await sound.ctl("history", influencer, "--diff")
    assert shown.status == 0
    assert "~ influencer.status  pending → training" in shown.out
    assert "+ influencer.errorMessage  The job was canceled" in shown.out


async def test_without_postgres(sound: Installation, history: History) -> None:
    away = sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    create = history.failed
    found = await away.ctl("history", create.influencer_id, "--json")
    assert found.json["organizationId"] == create.organization_id
    assert found.json["state"] == as_told(fold(history.of(create)))
    given = ("--organization", create.organization_id)
    assert (await away.ctl("history", create.influencer_id, *given, "--json")).out == found.out


@pytest.mark.parametrize(
    ("stream", "status", "says"),
    [
        ("inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T", 1, "there is no inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T on"),
        ("ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T", 1, "there is no ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T on"),
        ("ava", 2, "'ava' is not an influencer id"),
        ("inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --at 0", 2, "a sequence begins at 1"),
        ("inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --at soon", 2, "'soon' is neither a time"),
    ],
)
async def test_what_is_not_there(sound: Installation, stream: str, status: int, says: str) -> None:
    answer = await sound.ctl("history", *stream.split())
    assert (answer.status, answer.out) == (status, "")
    assert answer.err.startswith(says)
