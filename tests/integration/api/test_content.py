"""A picture for a brief: asked for, watched, canceled, found."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from schemas.events import ContentRequested
from schemas.ids import Prefix
from schemas.jobs import JobError
from services.core.domain.commands import DeleteInfluencer
from services.core.domain.content import CompleteContent, FailContent
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import IDS, Scene, events_of
from tests.integration.api.serving import Service
from tests.integration.api.streaming import project, streaming
from tests.unit.samples import rendered

BRIEF = "Weekend sale: half price!"


async def asked(caller: Caller, influencer_id: str, brief: Any = BRIEF, **headers: str) -> Answer:
    body = {"influencerId": influencer_id, "brief": brief}
    return await caller.post(f"/v1/projects/{caller.project_id}/content", body, **headers)


async def stream_of(caller: Caller, service: Service, job_id: str) -> tuple[str, str, str]:
    stream_id = await service.pool.fetchval(
        "select stream_id from read_model.jobs where job_id = $1", job_id
    )
    return (caller.organization_id, stream_id, job_id)


async def test_content_may_be_asked_for_as_soon_as_the_influencers_202_is_back(
    caller: Caller, service: Service
) -> None:
    created = await caller.create()
    answer = await asked(caller, created["influencerId"])

    assert answer.status == 202
    job_id = answer.json["jobId"]
    assert answer.json == {
        "jobId": job_id,
        "kind": "content_generate",
        "status": "running",
        "influencerId": created["influencerId"],
        "locationUrl": f"/v1/jobs/{job_id}",
    }
    assert answer.headers["Location"] == f"/v1/jobs/{job_id}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Cache-Control"] == "no-store"
    job = (await caller.get(f"/v1/jobs/{job_id}")).json
    assert (job["status"], job["stage"], job["progress"]) == ("running", "queued", 0)
    assert (job["projectId"], job["sequence"]) == (caller.project_id, 1)
    _, stream_id, _ = await stream_of(caller, service, job_id)
    [event] = await events_of(caller, service, stream_id)
    assert event.correlation_id == job_id
    assert event.data == ContentRequested(
        job_id=job_id,
        influencer_id=created["influencerId"],
        brief=BRIEF,
        influencer_sequence=1,
    )


async def test_the_event_says_how_far_the_influencer_had_come(
    caller: Caller, service: Service
) -> None:
    scene = await Scene.ready(caller, service)
    record = await scene.record()
    answer = await asked(caller, scene.influencer_id)
    stream = await stream_of(caller, service, answer.json["jobId"])
    [event] = await events_of(caller, service, stream[1])
    assert isinstance(event.data, ContentRequested)
    assert event.data.influencer_sequence == record["sequence"]


@pytest.mark.parametrize(
    ("brief", "faults"),
    [
        (None, True),
        ("", True),
        (" \n ", True),
        ("x" * 1025, True),
        (7, True),
        ("a\x00b", True),
        ("x" * 1024, False),
        ("漢" * 1024, False),
        ("  x  ", False),
        ("👩‍👩‍👧", False),
    ],
)
async def test_a_brief_has_1_to_1024_characters(
    caller: Caller, service: Service, brief: Any, faults: bool
) -> None:
    created = await caller.create()
    answer = await asked(caller, created["influencerId"], brief)
    assert answer.status == (422 if faults else 202)
    if faults:
        assert list(answer.field_errors) == ["brief"]


async def test_all_faults_of_a_body_are_told_at_once(caller: Caller) -> None:
    answer = await caller.post(
        f"/v1/projects/{caller.project_id}/content", {"Brief": "x", "influencerId": "inf_1"}
    )
    assert sorted(answer.field_errors) == ["Brief", "brief", "influencerId"]
    assert answer.field_errors["brief"] == ["Required"]


async def test_the_influencer_must_be_one_of_the_organization(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    stranger = await new()
    of_stranger = (await stranger.create())["influencerId"]
    deleted = (await caller.create())["influencerId"]
    await service.append(DeleteInfluencer(caller.organization_id, deleted, "key_x"))
    for influencer_id in (of_stranger, deleted, IDS.new(Prefix.INFLUENCER)):
        answer = await asked(caller, influencer_id)
        assert (answer.status, answer.code) == (422, "VALIDATION")
        assert answer.field_errors == {"influencerId": ["Not an influencer of this organization"]}
    assert (await caller.get("/v1/jobs?kind=content_generate")).json["items"] == []


async def test_an_unknown_project_comes_before_the_body(caller: Caller) -> None:
    answer = await caller.post(f"/v1/projects/{UUID(int=7)}/content", {})
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_every_spelling_of_an_id_is_the_same_influencer(caller: Caller) -> None:
    chosen = "018f3a5e-7c1b-7d7e-8a6f-2b1c9d0e4f55"
    created = await caller.create(influencerId=chosen)
    for spelling in (chosen, created["influencerId"], created["influencerId"][4:].lower()):
        answer = await asked(caller, spelling)
        assert answer.json["influencerId"] == created["influencerId"]


async def test_a_repeated_request_is_one_job_also_when_the_influencer_is_gone(
    caller: Caller, service: Service
) -> None:
    influencer_id = (await caller.create())["influencerId"]
    first = await asked(caller, influencer_id, Idempotency_Key="k")
    await service.append(DeleteInfluencer(caller.organization_id, influencer_id, "key_x"))
    second = await asked(caller, influencer_id, Idempotency_Key="k")
    other = await asked(caller, influencer_id, "Something else", Idempotency_Key="k")

    assert (second.status, second.body) == (first.status, first.body)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.code) == (409, "IDEMPOTENCY_CONFLICT")
    jobs = (await caller.get("/v1/jobs?kind=content_generate")).json["items"]
    assert [job["jobId"] for job in jobs] == [first.json["jobId"]]


async def test_a_content_job_is_listed_like_any_other(caller: Caller) -> None:
    created = await caller.create()
    content = (await asked(caller, created["influencerId"])).json
    listed = (await caller.get(f"/v1/jobs?influencerId={created['influencerId']}")).json["items"]
    assert [job["jobId"] for job in listed] == [content["jobId"], created["jobId"]]
    only = (await caller.get("/v1/jobs?kind=content_generate&status=running")).json["items"]
    assert [job["jobId"] for job in only] == [content["jobId"]]


async def test_a_cancel_is_final_at_once_and_leaves_the_influencer_alone(
    caller: Caller, service: Service
) -> None:
    created = await caller.create()
    job_id = (await asked(caller, created["influencerId"])).json["jobId"]
    answer = await caller.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status, answer.json) == (202, {"jobId": job_id, "accepted": True})
    job = (await caller.get(f"/v1/jobs/{job_id}")).json
    assert (job["status"], job["stage"], job["result"], job["error"]) == (
        "canceled",
        "done",
        None,
        None,
    )
    again = await caller.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status, again.json["reason"]) == (200, "ALREADY_CANCELED")
    influencer = (await caller.get(f"/v1/influencers/{created['influencerId']}")).json
    assert influencer["status"] == "pending"


async def test_a_completed_job_shows_its_picture(caller: Caller, service: Service) -> None:
    created = await caller.create()
    job_id = (await asked(caller, created["influencerId"])).json["jobId"]
    picture = rendered(1, "content")
    await service.append(CompleteContent(*await stream_of(caller, service, job_id), picture))
    job = (await caller.get(f"/v1/jobs/{job_id}", Prefer="wait=5")).json

    assert (job["status"], job["stage"], job["progress"]) == ("completed", "done", 1.0)
    assert set(job["result"]) == {"influencerId", "image"}
    assert job["result"]["influencerId"] == created["influencerId"]
    image = job["result"]["image"]
    assert (image["assetId"], image["view"]) == (picture.asset_id, "content")
    assert "signature=" in image["url"]
    answer = await caller.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status, answer.json["reason"]) == (200, "ALREADY_COMPLETED")


@pytest.mark.parametrize("code", ["INFLUENCER_FAILED", "INFLUENCER_DELETED"])
async def test_a_failed_job_says_why(caller: Caller, service: Service, code: str) -> None:
    created = await caller.create()
    job_id = (await asked(caller, created["influencerId"])).json["jobId"]
    error = JobError(code=code, message="The influencer is gone.", retryable=False)
    await service.append(FailContent(*await stream_of(caller, service, job_id), error))
    job = (await caller.get(f"/v1/jobs/{job_id}")).json
    assert (job["status"], job["error"]) == ("failed", error.model_dump())


async def test_a_content_job_is_watched_like_any_other(caller: Caller, service: Service) -> None:
    created = await caller.create()
    job_id = (await asked(caller, created["influencerId"])).json["jobId"]
    stream = await stream_of(caller, service, job_id)
    await project(caller, service, stream[1])
    async with asyncio.timeout(10), streaming(caller, job_id) as watched:
        snapshot = await watched.next()
        assert snapshot is not None
        assert snapshot.data["status"] == "running"
        await service.append(CompleteContent(*stream, rendered(1, "content")))
        await project(caller, service, stream[1])
        assert [message.event for message in await watched.rest()] == ["ContentGenerated"]


async def test_an_unknown_influencer_is_told_with_every_other_fault(caller: Caller) -> None:
    path = f"/v1/projects/{caller.project_id}/content"
    answer = await caller.post(path, {"influencerId": f"inf_{7:026d}", "x": 1})
    assert answer.field_errors == {
        "influencerId": ["Not an influencer of this organization"],
        "brief": ["Required"],
        "x": ["Unknown field"],
    }
