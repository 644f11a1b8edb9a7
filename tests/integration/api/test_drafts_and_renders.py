"""Drafts, and renders of what is there already."""

import pytest

from services.core.domain.commands import CancelJob
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import Scene, add_asset, events_of, reference_image_ids
from tests.integration.api.serving import Service
from tests.unit.samples import asset_id


async def test_a_draft_is_answered_with_its_record_and_has_no_job(
    caller: Caller, service: Service
) -> None:
    seed = await add_asset(caller, service)
    body = {"name": " Ava ", "vibe": "warm", "referenceImages": {"assetIds": [seed]}}
    answer = await caller.post(f"{caller.influencers}?draft=true", body)
    assert answer.status == 201
    record = answer.json
    assert (record["status"], record["jobId"], record["sequence"]) == ("draft", None, 1)
    assert (record["name"], record["vibe"]) == ("Ava", "warm")
    assert reference_image_ids(record) == [seed]
    path = f"/v1/influencers/{record['influencerId']}"
    assert answer.headers["Location"] == path
    got = await caller.get(path)
    assert (got.json, got.headers["ETag"]) == (record, answer.headers["ETag"])
    assert (await caller.get("/v1/jobs")).json["items"] == []
    [event] = await events_of(caller, service, record["influencerId"])
    assert event.type == "InfluencerDrafted"


@pytest.mark.parametrize(
    "query",
    ["draft=false", "draft=", "draft", "draft=TRUE", "draft=1", "draft=true&draft=true"],
)
async def test_draft_is_true_or_not_there(caller: Caller, query: str) -> None:
    answer = await caller.post(f"{caller.influencers}?{query}", {"name": "Ava"})
    assert answer.field_errors == {"draft": ["Must be true"]}
    assert (await caller.get(caller.influencers)).json["items"] == []


async def test_a_drafts_body_is_held_to_the_same_rules(caller: Caller) -> None:
    answer = await caller.post(f"{caller.influencers}?draft=true", {"hair_color": 1})
    assert answer.field_errors == {"name": ["Required"], "hair_color": ["Unknown field"]}


async def test_a_drafts_id_is_taken_like_any_other(caller: Caller) -> None:
    draft = (await caller.post(f"{caller.influencers}?draft=true", {"name": "Ava"})).json
    for path in (caller.influencers, f"{caller.influencers}?draft=true"):
        body = {"name": "Bea", "influencerId": draft["influencerId"]}
        assert (await caller.post(path, body)).code == "CONFLICT"


@pytest.mark.parametrize("queries", [("?draft=true", ""), ("", "?draft=true")])
async def test_a_draft_and_a_create_are_different_requests_of_one_path(
    caller: Caller, queries: tuple[str, str]
) -> None:
    first, second = (f"{caller.influencers}{query}" for query in queries)
    assert (await caller.post(first, {"name": "Ava"}, Idempotency_Key="k")).status in (201, 202)
    answer = await caller.post(second, {"name": "Ava"}, Idempotency_Key="k")
    assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert len((await caller.get(caller.influencers)).json["items"]) == 1


async def test_render_starts_a_draft(caller: Caller) -> None:
    draft = (await caller.post(f"{caller.influencers}?draft=true", {"name": "Ava"})).json
    path = f"/v1/influencers/{draft['influencerId']}"
    answer = await caller.post(f"{path}/render")
    assert answer.status == 202
    assert answer.json == {
        "jobId": answer.json["jobId"],
        "kind": "influencer_render",
        "status": "running",
        "influencerId": draft["influencerId"],
        "locationUrl": f"/v1/jobs/{answer.json['jobId']}",
    }
    assert answer.headers["Location"] == answer.json["locationUrl"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Cache-Control"] == "no-store"
    record = (await caller.get(path)).json
    assert (record["status"], record["jobId"]) == ("pending", answer.json["jobId"])
    job = (await caller.get(answer.json["locationUrl"])).json
    assert (job["kind"], job["status"]) == ("influencer_render", "running")


async def test_a_render_while_a_job_runs_is_a_conflict_that_names_the_job(
    caller: Caller, service: Service
) -> None:
    scene = await Scene.started(caller, service)
    answer = await caller.post(f"{scene.path}/render", {})
    assert (answer.status, answer.code) == (409, "CONFLICT")
    assert answer.details == {"jobId": scene.job_id}


async def test_a_ready_influencer_keeps_its_images_until_the_new_set_is_complete(
    caller: Caller, service: Service
) -> None:
    scene = await Scene.ready(caller, service)
    seed = await add_asset(caller, service)
    await scene.link(seed)
    job_id = (await caller.post(f"{scene.path}/render")).json["jobId"]
    record = await scene.record()
    assert record["status"] == "ready"
    assert reference_image_ids(record) == [*(asset_id(number) for number in range(4)), seed]
    await scene.render(job_id, first_asset=10)
    renewed = reference_image_ids(await scene.record())
    assert renewed == [seed, *(asset_id(number) for number in range(10, 14))]


async def test_a_failed_influencer_may_be_rendered_again(caller: Caller, service: Service) -> None:
    scene = await Scene.started(caller, service)
    cancel = CancelJob(caller.organization_id, scene.influencer_id, scene.job_id, "key_x")
    await service.append(cancel)
    assert (await scene.record())["status"] == "failed"
    assert (await caller.post(f"{scene.path}/render")).status == 202
    record = await scene.record()
    assert (record["status"], record["errorMessage"]) == ("pending", None)


async def test_render_takes_no_fields(caller: Caller, service: Service) -> None:
    scene = await Scene.ready(caller, service)
    answer = await caller.post(f"{scene.path}/render", {"views": ["portrait"]})
    assert answer.field_errors == {"views": ["Unknown field"]}


async def test_the_path_is_looked_at_before_the_body(caller: Caller, new: NewCaller) -> None:
    created, stranger = await caller.create(), await new()
    path = f"/v1/influencers/{created['influencerId']}"
    for method, at in (
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/clone"),
        ("POST", f"{path}/render"),
        ("POST", f"{path}/reference-images"),
    ):
        answer = await stranger.send(method, at, b"{", headers={"Content-Type": "text/plain"})
        assert answer.code == "NOT_FOUND", at
        answer = await caller.send(method, at, b"{", headers={"Content-Type": "text/plain"})
        assert answer.code == "UNSUPPORTED_MEDIA_TYPE", at
        answer = await caller.send(method, at, b"{")
        assert answer.form_errors, at
