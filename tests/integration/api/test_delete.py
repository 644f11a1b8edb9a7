"""DELETE: gone for REST, kept in the log."""

import re

import pytest

from tests.integration.api.calling import Caller
from tests.integration.api.scenes import Scene, add_asset
from tests.integration.api.serving import Service

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_the_answer_says_when(caller: Caller, service: Service) -> None:
    scene = await Scene.ready(caller, service)
    answer = await caller.delete(scene.path)
    assert answer.status == 200
    assert answer.json == {
        "influencerId": scene.influencer_id,
        "status": "deleted",
        "deletedAt": answer.json["deletedAt"],
    }
    assert TIMESTAMP.fullmatch(answer.json["deletedAt"])
    event = (await scene.events())[-1]
    assert (event.type, event.time) == ("InfluencerDeleted", answer.json["deletedAt"])


async def test_what_is_deleted_is_404_everywhere(
    caller: Caller, service: Service, replica: Service
) -> None:
    scene = await Scene.ready(caller, service)
    asset = await add_asset(caller, service)
    await scene.link(asset)
    await caller.delete(scene.path)
    for at in (caller, caller.at(replica)):
        for method, path, body in (
            ("GET", scene.path, None),
            ("HEAD", scene.path, None),
            ("GET", f"{scene.path}/events", None),
            ("PATCH", scene.path, {"vibe": "calm"}),
            ("DELETE", scene.path, None),
            ("POST", f"{scene.path}/clone", {"name": "Bea"}),
            ("POST", f"{scene.path}/render", None),
            ("POST", scene.images_path, {"assetIds": [asset]}),
            ("DELETE", f"{scene.images_path}/{asset}", None),
        ):
            assert (await at.send(method, path, body)).status == 404, (method, path)
        assert (await at.get(caller.influencers)).json["items"] == []
    body = {"name": "Ava", "influencerId": scene.influencer_id}
    assert (await caller.post(caller.influencers, body)).code == "CONFLICT"


async def test_a_running_job_is_canceled_and_stays_readable(
    caller: Caller, service: Service
) -> None:
    scene = await Scene.started(caller, service)
    await caller.delete(scene.path)
    job = (await caller.get(f"/v1/jobs/{scene.job_id}")).json
    assert (job["status"], job["stage"]) == ("canceled", "done")
    listed = (await caller.get(f"/v1/jobs?influencerId={scene.influencer_id}")).json["items"]
    assert listed == [job]
    canceled, deleted = (await scene.events())[-2:]
    assert (canceled.type, deleted.type) == ("JobCanceled", "InfluencerDeleted")
    assert canceled.data.model_dump()["requested_by"] == caller.key_id


@pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": "x" * 1024}])
async def test_a_reason_is_optional(caller: Caller, service: Service, body: object) -> None:
    scene = await Scene.started(caller, service)
    assert (await caller.delete(scene.path, body)).status == 200
    data = (await scene.events())[-1].data.model_dump()
    assert data["reason"] == (body or {}).get("reason")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "field"), [({"reason": "x" * 1025}, "reason"), ({"why": "x"}, "why")]
)
async def test_a_wrong_body_deletes_nothing(
    caller: Caller, service: Service, body: object, field: str
) -> None:
    scene = await Scene.started(caller, service)
    assert list((await caller.delete(scene.path, body)).field_errors) == [field]
    assert (await scene.record())["status"] == "pending"


async def test_if_match_is_honoured(caller: Caller, service: Service) -> None:
    scene = await Scene.started(caller, service)
    stale = await scene.etag()
    await caller.patch(scene.path, {"vibe": "calm"})
    answer = await caller.delete(scene.path, If_Match=stale)
    assert (answer.status, answer.code) == (412, "PRECONDITION_FAILED")
    assert (await caller.delete(scene.path, If_Match=await scene.etag())).status == 200
