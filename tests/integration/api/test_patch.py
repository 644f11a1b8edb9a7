"""PATCH: only what is named changes, on the record that the caller knows."""

import asyncio
from typing import Any

import pytest

from schemas.events import InfluencerUpdated
from services.core.domain.commands import StartTraining
from tests.integration.api.calling import Caller
from tests.integration.api.scenes import Scene
from tests.integration.api.serving import Service

PROFILE = {
    "name": "Ava Chen",
    "gender": "female",
    "style": "streetwear",
    "personality": {"traits": ["curious", "warm"], "tone": "dry", "humor": "wry"},
}


@pytest.fixture
async def scene(caller: Caller, service: Service) -> Scene:
    return await Scene.started(caller, service, **PROFILE)


async def test_the_whole_record_comes_back_with_the_change_in_it(
    scene: Scene, caller: Caller, replica: Service
) -> None:
    before = await scene.record()
    answer = await caller.patch(scene.path, {"vibe": "calm", "name": " Bea "})
    assert answer.status == 200
    record = answer.json
    assert record == {
        **before,
        "vibe": "calm",
        "name": "Bea",
        "sequence": 2,
        "updatedAt": record["updatedAt"],
    }
    assert record["updatedAt"] >= before["updatedAt"]
    for at in (caller, caller.at(replica)):
        got = await at.get(scene.path)
        assert got.json == record
        assert got.headers["ETag"] == answer.headers["ETag"]
    item = (await caller.get(caller.influencers)).json["items"][0]
    assert item["name"] == "Bea"


async def test_a_running_job_and_its_status_are_left_alone(scene: Scene, caller: Caller) -> None:
    job = (await caller.get(f"/v1/jobs/{scene.job_id}")).json
    record = (await caller.patch(scene.path, {"vibe": "calm"})).json
    assert (record["status"], record["jobId"]) == ("pending", scene.job_id)
    assert (await caller.get(f"/v1/jobs/{scene.job_id}")).json == job


async def test_null_clears(scene: Scene, caller: Caller) -> None:
    record = (await caller.patch(scene.path, {"style": None, "personality": None})).json
    assert (record["style"], record["personality"], record["gender"]) == (None, None, "female")


async def test_a_personality_merges_key_by_key(scene: Scene, caller: Caller) -> None:
    change = {"tone": "warm", "humor": None, "values": ["honesty"], "traits": ["bold"]}
    record = (await caller.patch(scene.path, {"personality": change})).json
    wanted = {"traits": ["bold"], "tone": "warm", "values": ["honesty"]}
    assert record["personality"] == wanted
    assert (await caller.patch(scene.path, {"personality": {}})).json["personality"] == wanted


async def test_a_personality_may_be_the_first_one(caller: Caller, service: Service) -> None:
    scene = await Scene.started(caller, service)
    change = {"tone": "warm", "humor": None}
    record = (await caller.patch(scene.path, {"personality": change})).json
    assert record["personality"] == {"tone": "warm"}


async def test_what_changes_nothing_is_no_event(scene: Scene, caller: Caller) -> None:
    before = await scene.record()
    change = {"style": "streetwear", "vibe": None, "personality": {"tone": "dry"}}
    answer = await caller.patch(scene.path, change)
    assert (answer.status, answer.json) == (200, before)
    assert len(await scene.events()) == 1


async def test_an_update_reaches_everybody_with_its_nulls(
    scene: Scene, caller: Caller, service: Service
) -> None:
    await caller.patch(scene.path, {"style": None, "vibe": "calm"})
    event = (await scene.events())[-1]
    assert (event.type, event.sequence) == ("InfluencerUpdated", 2)
    assert isinstance(event.data, InfluencerUpdated)
    assert event.data.changes == {"style": None, "vibe": "calm"}


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"name": None}, {"name": ["Must be a string"]}),
        ({"name": " "}, {"name": ["Must not be empty"]}),
        (
            {"name": None, "hair_color": "x", "personality": {"mood": 1}, "gender": "robot"},
            {"name", "hair_color", "personality.mood", "gender"},
        ),
        ({"influencerId": "x"}, {"influencerId": ["Unknown field"]}),
        ({"referenceImages": {"assetIds": []}}, {"referenceImages": ["Unknown field"]}),
        ({"status": "ready"}, {"status": ["Unknown field"]}),
        ({"vibe": "x" * 257}, {"vibe": ["At most 256 characters"]}),
    ],
)
async def test_every_fault_is_told_and_nothing_changes(
    scene: Scene, caller: Caller, body: Any, faults: Any
) -> None:
    answer = await caller.patch(scene.path, body)
    assert (
        answer.field_errors == faults
        if isinstance(faults, dict)
        else set(answer.field_errors) == faults
    )
    assert (await scene.record())["sequence"] == 1


async def test_at_least_one_field_is_needed(scene: Scene, caller: Caller) -> None:
    answer = await caller.patch(scene.path, {})
    assert answer.form_errors == ["At least one field is needed"]
    assert (await caller.patch(scene.path, None)).code == "UNSUPPORTED_MEDIA_TYPE"


async def test_if_match_holds_the_record_to_what_the_caller_knows(
    scene: Scene, caller: Caller
) -> None:
    etag = await scene.etag()
    answer = await caller.patch(scene.path, {"vibe": "calm"}, If_Match=etag)
    assert answer.status == 200
    stale = await caller.patch(scene.path, {"vibe": "wild"}, If_Match=etag)
    assert (stale.status, stale.code) == (412, "PRECONDITION_FAILED")
    assert (await scene.record())["vibe"] == "calm"
    fresh = await caller.patch(scene.path, {"vibe": "wild"}, If_Match=answer.headers["ETag"])
    assert fresh.json["vibe"] == "wild"


@pytest.mark.parametrize(
    ("template", "status"),
    [
        ("*", 200),
        ('"other", {etag}', 200),
        ('{etag}, "9"', 200),
        ('"other"', 412),
        ("W/{etag}", 412),
        ("1", 412),
        ('"01"', 412),
        ('"0"', 412),
        ("", 412),
        ('"999999999999999999999999"', 412),
    ],
)
async def test_if_match_compares_strongly_with_each_of_its_tags(
    scene: Scene, caller: Caller, template: str, status: int
) -> None:
    header = template.format(etag=await scene.etag())
    answer = await caller.patch(scene.path, {"vibe": "calm"}, If_Match=header)
    assert answer.status == status


async def test_if_match_knows_what_a_read_may_not_know_yet(
    scene: Scene, caller: Caller, service: Service
) -> None:
    stream = (caller.organization_id, scene.influencer_id, scene.job_id)
    await service.append(StartTraining(*stream, backend="drawing"))
    await service.pool.execute(
        "update read_model.influencers set sequence = 1 where influencer_id = $1",
        scene.influencer_id,
    )
    assert (await caller.patch(scene.path, {"vibe": "a"}, If_Match='"1"')).status == 412
    assert (await caller.patch(scene.path, {"vibe": "a"}, If_Match='"2"')).status == 200


async def test_of_many_writers_with_one_etag_one_wins(
    scene: Scene, caller: Caller, replica: Service
) -> None:
    etag, elsewhere = await scene.etag(), caller.at(replica)
    answers = await asyncio.gather(
        *(
            at.patch(scene.path, {"vibe": f"no {number}"}, If_Match=etag)
            for number, at in enumerate([caller, elsewhere] * 5)
        )
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9
    [winner] = [answer for answer in answers if answer.status == 200]
    assert await scene.record() == winner.json


async def test_a_patched_name_is_not_known_by_pythons_spelling(
    scene: Scene, caller: Caller
) -> None:
    answer = await caller.patch(scene.path, {"age_range": "25-34"})
    assert answer.field_errors == {"age_range": ["Unknown field"]}
    assert (await caller.patch(scene.path, {"ageRange": "25-34"})).json["ageRange"] == "25-34"
