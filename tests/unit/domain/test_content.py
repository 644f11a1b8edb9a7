"""Content: one picture, one job, one end."""

import pytest

from schemas.events import (
    ContentFailed,
    ContentGenerated,
    ContentRequested,
    EventData,
    InfluencerReady,
    JobCanceled,
)
from schemas.jobs import JobError
from services.core.domain.content import (
    CancelContent,
    CompleteContent,
    ContentAlreadyExists,
    ContentCommand,
    ContentStream,
    FailContent,
    RequestContent,
    decide_content,
    evolve_content,
)
from services.core.domain.errors import ImpossibleEvent, JobEnded, SequenceGap
from tests.unit.domain.specification import envelope
from tests.unit.samples import (
    INFLUENCER_ID,
    JOB_ID,
    ORGANIZATION_ID,
    PROJECT_ID,
    SECOND_JOB_ID,
    rendered,
)

CONTENT_ID = "cnt_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
STREAM = (ORGANIZATION_ID, CONTENT_ID, JOB_ID)
PICTURE = rendered(1, "content")
ERROR = JobError(code="INFLUENCER_FAILED", message="The influencer failed.", retryable=False)

REQUEST = RequestContent(*STREAM, PROJECT_ID, INFLUENCER_ID, "A day at the sea")
REQUESTED = ContentRequested(job_id=JOB_ID, influencer_id=INFLUENCER_ID, brief="A day at the sea")
GENERATED = ContentGenerated(job_id=JOB_ID, influencer_id=INFLUENCER_ID, image=PICTURE)
FAILED = ContentFailed(job_id=JOB_ID, influencer_id=INFLUENCER_ID, error=ERROR)
CANCELED = JobCanceled(job_id=JOB_ID, requested_by="key_1")

ENDS: list[tuple[ContentCommand, EventData, str]] = [
    (CompleteContent(*STREAM, PICTURE), GENERATED, "completed"),
    (FailContent(*STREAM, ERROR), FAILED, "failed"),
    (CancelContent(*STREAM, "key_1"), CANCELED, "canceled"),
]


def given(*history: EventData) -> ContentStream:
    state = ContentStream()
    for sequence, data in enumerate(history, 1):
        state = evolve_content(state, envelope(data, sequence, CONTENT_ID))
    return state


def test_a_request_begins_a_job_that_waits() -> None:
    assert decide_content(given(), REQUEST) == (REQUESTED,)
    state = given(REQUESTED)
    assert state.sequence == 1
    assert state.project_id == PROJECT_ID
    assert state.job
    assert (state.job.kind, state.job.status, state.job.stage, state.job.progress) == (
        "content_generate",
        "running",
        "queued",
        0.0,
    )
    assert (state.job.stream_id, state.job.influencer_id) == (CONTENT_ID, INFLUENCER_ID)


def test_content_is_asked_for_once() -> None:
    with pytest.raises(ContentAlreadyExists):
        decide_content(given(REQUESTED), REQUEST)


@pytest.mark.parametrize(("command", "event", "status"), ENDS, ids=lambda value: str(value)[:12])
def test_a_job_ends_once(command: ContentCommand, event: EventData, status: str) -> None:
    assert decide_content(given(REQUESTED), command) == (event,)
    ended = given(REQUESTED, event)
    assert ended.job
    assert (ended.job.status, ended.job.stage, ended.job.sequence) == (status, "done", 2)
    assert ended.updated_at == ended.job.finished_at
    for later, _, _ in ENDS:
        with pytest.raises(JobEnded) as refusal:
            decide_content(ended, later)
        assert refusal.value.status == status


def test_a_completed_job_has_the_picture() -> None:
    job = given(REQUESTED, GENERATED).job
    assert job
    assert job.image_set == (PICTURE,)
    assert job.progress == 1.0


def test_another_job_is_not_this_contents() -> None:
    other = FailContent(ORGANIZATION_ID, CONTENT_ID, SECOND_JOB_ID, ERROR)
    with pytest.raises(JobEnded):
        decide_content(given(REQUESTED), other)
    with pytest.raises(JobEnded):
        decide_content(given(), FailContent(*STREAM, ERROR))


@pytest.mark.parametrize(
    "history",
    [
        (GENERATED,),
        (REQUESTED, REQUESTED),
        (REQUESTED, GENERATED, CANCELED),
        (REQUESTED, CANCELED.model_copy(update={"job_id": SECOND_JOB_ID})),
        (REQUESTED, InfluencerReady(job_id=JOB_ID, asset_ids=())),
    ],
)
def test_impossible_histories_are_refused(history: tuple[EventData, ...]) -> None:
    with pytest.raises(ImpossibleEvent):
        given(*history)


def test_a_gap_is_refused() -> None:
    with pytest.raises(SequenceGap):
        evolve_content(given(REQUESTED), envelope(GENERATED, 3, CONTENT_ID))


def test_the_end_tells_when_the_work_began() -> None:
    state = given(REQUESTED)
    command = CompleteContent(*STREAM, PICTURE, "2026-11-23T00:00:01.500Z")
    [data] = decide_content(state, command)
    job = evolve_content(state, envelope(data, 2, CONTENT_ID)).job
    assert job is not None
    assert job.started_at == command.started_at
