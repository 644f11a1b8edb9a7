"""Jobs: what a client sees of one from start to end, and what a cancel does when."""

import asyncio
from typing import Any

from schemas.jobs import JobError
from services.core.domain.commands import (
    CancelJob,
    Command,
    CompleteJob,
    FailJob,
    RecordImage,
    RenderInfluencer,
    StartTraining,
)
from services.core.domain.errors import JobEnded
from services.core.domain.state import DEFAULT_VIEWS
from services.core.eventlog.group_commit import GroupCommit
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.serving import Service
from tests.unit.samples import rendered

KEYS = {
    "jobId",
    "kind",
    "status",
    "stage",
    "progress",
    "projectId",
    "influencerId",
    "locationUrl",
    "sequence",
    "createdAt",
    "startedAt",
    "finishedAt",
    "result",
    "error",
}
FAULT = JobError(code="RENDER_REJECTED", message="The backend refuses the prompt.", retryable=False)


class Running:
    """A job that a client has started, driven through the domain as the renderer would."""

    def __init__(self, caller: Caller, service: Service, created: dict[str, str]) -> None:
        self.caller = caller
        self.service = service
        self.created = created
        self.job_id = created["jobId"]
        self.influencer_id = created["influencerId"]
        self.stream = (caller.organization_id, created["influencerId"], created["jobId"])

    @classmethod
    async def started(cls, caller: Caller, service: Service) -> "Running":
        return cls(caller, service, await caller.create())

    async def get(self, **headers: str) -> Answer:
        return await self.caller.get(f"/v1/jobs/{self.job_id}", **headers)

    async def cancel(self) -> Answer:
        return await self.caller.post(f"/v1/jobs/{self.job_id}/cancel")

    async def influencer(self) -> Any:
        return (await self.caller.get(f"/v1/influencers/{self.influencer_id}")).json

    async def append(self, *commands: Command) -> None:
        await self.service.append(*commands)

    async def train(self) -> None:
        await self.append(StartTraining(*self.stream, backend="drawing"))

    async def record(self, *indexes: int) -> None:
        for index in indexes:
            image = rendered(index + 1, DEFAULT_VIEWS[index])
            await self.append(RecordImage(*self.stream, index=index, image=image))

    async def finalize(self) -> None:
        await self.train()
        await self.record(*range(len(DEFAULT_VIEWS)))

    async def end(self) -> None:
        await self.append(CompleteJob(*self.stream))

    async def complete(self) -> None:
        await self.finalize()
        await self.end()


async def test_a_job_from_start_to_end(caller: Caller, service: Service) -> None:
    job = await Running.started(caller, service)
    queued = (await job.get()).json
    assert queued == {
        "jobId": job.job_id,
        "kind": "influencer_create",
        "status": "running",
        "stage": "queued",
        "progress": 0,
        "projectId": caller.project_id,
        "influencerId": job.influencer_id,
        "locationUrl": f"/v1/jobs/{job.job_id}",
        "sequence": 1,
        "createdAt": queued["createdAt"],
        "startedAt": None,
        "finishedAt": None,
        "result": None,
        "error": None,
    }
    await job.train()
    await job.record(0, 1)
    half = (await job.get()).json
    assert (half["stage"], half["progress"], half["sequence"]) == ("rendering", 0.5, 4)
    assert half["startedAt"]
    assert (await job.influencer())["status"] == "training"
    await job.record(2, 3)
    assert (await job.get()).json["stage"] == "finalizing"
    await job.append(CompleteJob(*job.stream))
    answer = await job.get()
    done = answer.json
    assert done.keys() == KEYS
    assert (done["status"], done["stage"], done["progress"]) == ("completed", "done", 1)
    assert done["finishedAt"]
    assert "Retry-After" not in answer.headers
    images = done["result"]["referenceImages"]
    assert done["result"]["influencerId"] == job.influencer_id
    assert [image["view"] for image in images] == list(DEFAULT_VIEWS)
    influencer = await job.influencer()
    assert influencer["status"] == "ready"
    assert influencer["referenceImages"] == images
    assert influencer["thumbnailUrl"] == images[0]["thumbnailUrl"]
    assert images[0].keys() == {
        "assetId",
        "url",
        "thumbnailUrl",
        "source",
        "view",
        "width",
        "height",
        "addedAt",
    }
    assert images[0]["source"] == "rendered"


async def test_a_failed_job_says_why(caller: Caller, service: Service) -> None:
    job = await Running.started(caller, service)
    await job.append(FailJob(*job.stream, error=FAULT))
    record = (await job.get()).json
    assert (record["status"], record["result"]) == ("failed", None)
    assert record["error"] == {
        "code": "RENDER_REJECTED",
        "message": "The backend refuses the prompt.",
        "retryable": False,
    }
    influencer = await job.influencer()
    assert (influencer["status"], influencer["errorMessage"]) == ("failed", FAULT.message)


async def test_a_running_job_says_when_to_ask_again_and_keeps_its_etag(
    caller: Caller, service: Service
) -> None:
    job = await Running.started(caller, service)
    first = await job.get()
    assert int(first.headers["Retry-After"]) >= 1
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert first.headers["Vary"] == "X-Api-Key, Authorization"
    etag = first.headers["ETag"]
    unchanged = await job.get(If_None_Match=etag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    await job.train()
    changed = await job.get(If_None_Match=etag)
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


async def test_a_cancel_is_in_force_at_once(caller: Caller, service: Service) -> None:
    job = await Running.started(caller, service)
    await job.train()
    await job.record(0)
    answer = await job.cancel()
    assert answer.status == 202
    assert answer.json == {"jobId": job.job_id, "accepted": True}
    assert answer.headers["Cache-Control"] == "no-store"
    record = (await job.get()).json
    assert (record["status"], record["stage"]) == ("canceled", "done")
    assert record["finishedAt"]
    for late in (RecordImage(*job.stream, index=1, image=rendered(2)), CompleteJob(*job.stream)):
        refused = await asyncio.gather(job.append(late), return_exceptions=True)
        assert isinstance(refused[0], JobEnded)
    assert (await job.get()).json == record
    assert (await job.influencer())["status"] != "ready"


async def test_what_has_ended_is_not_canceled_and_says_how_it_ended(
    caller: Caller, service: Service
) -> None:
    completed, failed, canceled = [await Running.started(caller, service) for _ in range(3)]
    await completed.complete()
    await failed.append(FailJob(*failed.stream, error=FAULT))
    await canceled.cancel()
    for job, status in ((completed, "COMPLETED"), (failed, "FAILED"), (canceled, "CANCELED")):
        before = (await job.get()).json
        for _ in range(2):
            answer = await job.cancel()
            assert answer.status == 200
            assert answer.json == {
                "jobId": job.job_id,
                "accepted": False,
                "reason": f"ALREADY_{status}",
            }
        assert (await job.get()).json == before


async def test_a_job_that_another_has_followed_still_says_how_it_ended(
    caller: Caller, service: Service
) -> None:
    job = await Running.started(caller, service)
    await job.append(FailJob(*job.stream, error=FAULT))
    following = RenderInfluencer(*job.stream[:2], job_id="job_01HXZ9G7KMV2QX8Y1S5RJW3B7S")
    await job.append(following)
    answer = await job.cancel()
    assert (answer.status, answer.json["reason"]) == (200, "ALREADY_FAILED")
    following_job = (await caller.get(f"/v1/jobs/{following.job_id}")).json
    assert following_job["status"] == "running"
    assert following_job["kind"] == "influencer_render"


async def test_a_job_that_ended_and_was_followed_meanwhile_is_to_be_asked_again(
    caller: Caller, service: Service, monkeypatch: Any
) -> None:
    job = await Running.started(caller, service)
    append = GroupCommit.append

    async def overtaken(group_commit: GroupCommit, request: Any) -> Any:
        if isinstance(request.command, CancelJob) and request.respond:
            monkeypatch.undo()
            await job.append(
                FailJob(*job.stream, error=FAULT),
                RenderInfluencer(*job.stream[:2], job_id="job_01HXZ9G7KMV2QX8Y1S5RJW3B7V"),
            )
        return await append(group_commit, request)

    monkeypatch.setattr(GroupCommit, "append", overtaken)
    answer = await job.cancel()
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")
    assert (await job.cancel()).json["reason"] == "ALREADY_FAILED"


async def test_a_job_that_is_finalizing_can_no_longer_be_canceled(
    caller: Caller, service: Service
) -> None:
    job = await Running.started(caller, service)
    await job.finalize()
    answer = await job.cancel()
    assert (answer.status, answer.code) == (409, "CONFLICT")
    assert answer.details == {
        "subcode": "JOB_CANCEL_UNAVAILABLE",
        "jobId": job.job_id,
        "stage": "finalizing",
    }
    await job.append(CompleteJob(*job.stream))
    assert (await job.get()).json["status"] == "completed"


async def test_many_cancels_at_once_accept_one(
    caller: Caller, service: Service, replica: Service
) -> None:
    job = await Running.started(caller, service)
    path = f"/v1/jobs/{job.job_id}/cancel"
    answers = await asyncio.gather(*(at.post(path) for at in [caller, caller.at(replica)] * 10))
    assert sorted(answer.status for answer in answers) == [200] * 19 + [202]


async def test_a_cancel_takes_no_fields(caller: Caller, service: Service) -> None:
    job = await Running.started(caller, service)
    path = f"/v1/jobs/{job.job_id}/cancel"
    answer = await caller.post(path, {"reason": "changed my mind"})
    assert answer.field_errors == {"reason": ["Unknown field"]}
    assert (await caller.post(path, b"[]")).form_errors
    assert (await caller.post(path, b"{}", Content_Type="text/plain")).status == 415
    assert (await job.get()).json["status"] == "running"
    assert (await caller.post(path, {})).status == 202
