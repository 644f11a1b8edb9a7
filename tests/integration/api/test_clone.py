"""Clone: another influencer with the same face, and a profile of its own."""

from typing import Any
from uuid import uuid4

import pytest

from schemas.events import InfluencerCreateRequested
from tests.integration.api.calling import Caller
from tests.integration.api.scenes import Scene, add_asset, events_of, reference_image_ids
from tests.integration.api.serving import Service

PROFILE = {
    "gender": "female",
    "style": "streetwear",
    "vibe": "warm",
    "personality": {"tone": "dry", "humor": "wry"},
}


@pytest.fixture
async def source(caller: Caller, service: Service) -> Scene:
    return await Scene.ready(caller, service, **PROFILE)


async def clone(source: Scene, **body: Any) -> Any:
    answer = await source.caller.post(f"{source.path}/clone", {"name": "Bea", **body})
    assert answer.status == 202, answer
    return answer.json


async def record_of(caller: Caller, created: Any) -> Any:
    return (await caller.get(f"/v1/influencers/{created['influencerId']}")).json


async def test_a_clone_is_a_202_like_any_other(source: Scene, caller: Caller) -> None:
    answer = await caller.post(f"{source.path}/clone", {"name": "Bea"})
    assert answer.status == 202
    assert answer.json == {
        "jobId": answer.json["jobId"],
        "kind": "influencer_clone",
        "status": "running",
        "influencerId": answer.json["influencerId"],
        "locationUrl": f"/v1/jobs/{answer.json['jobId']}",
    }
    assert answer.headers["Location"] == answer.json["locationUrl"]
    assert answer.headers["Cache-Control"] == "no-store"
    record = await record_of(caller, answer.json)
    assert (record["status"], record["sequence"]) == ("pending", 1)
    assert record["projectId"] == source.caller.project_id


async def test_a_clone_has_the_profile_of_its_source_and_the_overrides(
    source: Scene, caller: Caller
) -> None:
    await caller.patch(source.path, {"bodyType": "tall"})
    overrides = {"style": "elegant", "vibe": None, "personality": {"tone": "warm"}}
    record = await record_of(caller, await clone(source, overrides=overrides))
    wanted = {
        "name": "Bea",
        "gender": "female",
        "bodyType": "tall",
        "style": "elegant",
        "vibe": None,
        "personality": {"tone": "warm", "humor": "wry"},
    }
    assert wanted.items() <= record.items()
    assert (await source.record())["style"] == "streetwear"


async def test_uploaded_images_are_copied_and_rendered_ones_are_not(
    source: Scene, caller: Caller, service: Service
) -> None:
    seeds = [await add_asset(caller, service) for _ in range(2)]
    await source.link(*seeds)
    record = await record_of(caller, await clone(source))
    assert reference_image_ids(record) == seeds
    assert {image["source"] for image in record["referenceImages"]} == {"uploaded"}


async def test_a_clone_of_a_clone_has_the_face_of_the_first(
    source: Scene, caller: Caller, service: Service
) -> None:
    first = await clone(source)
    second = await clone(Scene(caller, service, first["influencerId"], first["jobId"]))
    for created, parent in ((first, source.influencer_id), (second, first["influencerId"])):
        [event] = await events_of(caller, service, created["influencerId"])
        assert isinstance(event.data, InfluencerCreateRequested)
        assert event.data.job_kind == "influencer_clone"
        assert event.data.source_influencer_id == parent
        assert event.data.identity_id == source.influencer_id


async def test_a_client_may_bring_the_new_id(source: Scene, caller: Caller) -> None:
    own = str(uuid4())
    await clone(source, newInfluencerId=own)
    assert (await caller.get(f"/v1/influencers/{own}")).json["name"] == "Bea"
    for taken in (own, source.influencer_id):
        body = {"name": "Cleo", "newInfluencerId": taken}
        answer = await caller.post(f"{source.path}/clone", body)
        assert answer.code == "CONFLICT"
        assert answer.json["error"]["message"] == "Influencer with this id already exists."


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"name": ["Required"]}),
        ({"name": "B", "newInfluencerId": "x"}, {"newInfluencerId"}),
        ({"name": "B", "influencerId": None}, {"influencerId": ["Unknown field"]}),
        (
            {"overrides": {"name": "C", "influencerId": "x", "referenceImages": {}, "vibe": 1}},
            {
                "name",
                "overrides.name",
                "overrides.influencerId",
                "overrides.referenceImages",
                "overrides.vibe",
            },
        ),
    ],
)
async def test_every_fault_is_told_at_once(
    source: Scene, caller: Caller, body: Any, faults: Any
) -> None:
    answer = await caller.post(f"{source.path}/clone", body)
    assert set(answer.field_errors) == set(faults)
    if isinstance(faults, dict):
        assert answer.field_errors == faults


async def test_a_draft_may_be_cloned(caller: Caller) -> None:
    draft = (await caller.post(f"{caller.influencers}?draft=true", {"name": "Ava"})).json
    path = f"/v1/influencers/{draft['influencerId']}/clone"
    assert (await caller.post(path, {"name": "Bea", "overrides": None})).status == 202
