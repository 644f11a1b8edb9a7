"""What a picture waits for: given events of its influencer, it waits, is made or fails."""

import pytest

from schemas.events import (
    ContentRequested,
    EventData,
    InfluencerCreateRequested,
    InfluencerDeleted,
    InfluencerDrafted,
    InfluencerFailed,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    InfluencerUpdated,
    JobCanceled,
    ReferenceImagesLinked,
)
from services.content.waiting import (
    KnownInfluencer,
    Request,
    Verdict,
    follow,
    released,
    requested,
    verdict,
)
from services.core.domain.errors import ImpossibleEvent
from tests.unit.domain.specification import envelope
from tests.unit.samples import (
    ERROR,
    INFLUENCER_ID,
    JOB_ID,
    KEY_ID,
    PROFILE,
    PROJECT_ID,
    SECOND_JOB_ID,
    rendered,
    uploaded,
)

CONTENT_ID = "cnt_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
CONTENT_JOB_ID = "job_01HXZ9G7KMV2QX8Y1S5RJW3B77"
VIEWS = ("portrait",)
SEED = uploaded(7)

DRAFTED = InfluencerDrafted(profile=PROFILE)
CREATED = InfluencerCreateRequested(
    job_id=JOB_ID,
    job_kind="influencer_clone",
    profile=PROFILE,
    reference_images=(SEED,),
    source_influencer_id="inf_01HXZ9G7KMV2QX8Y1S5RJW3B7V",
    identity_id="inf_01HXZ9G7KMV2QX8Y1S5RJW3B7V",
    views=VIEWS,
)
STARTED = InfluencerTrainingStarted(job_id=JOB_ID, backend="drawing", attempt=1)
RENDERED = InfluencerImageRendered(
    job_id=JOB_ID, index=0, total=1, view="portrait", image=rendered(1)
)
READY = InfluencerReady(job_id=JOB_ID, asset_ids=(rendered(1).asset_id,))
FAILED = InfluencerFailed(job_id=JOB_ID, error=ERROR)
CANCELED = JobCanceled(job_id=JOB_ID, requested_by=KEY_ID)
DELETED = InfluencerDeleted()
AGAIN = InfluencerRenderRequested(job_id=SECOND_JOB_ID, job_kind="influencer_render", views=VIEWS)
AGAIN_STARTED = STARTED.model_copy(update={"job_id": SECOND_JOB_ID})
AGAIN_RENDERED = RENDERED.model_copy(update={"job_id": SECOND_JOB_ID, "image": rendered(2)})
AGAIN_READY = READY.model_copy(update={"job_id": SECOND_JOB_ID})
AGAIN_FAILED = FAILED.model_copy(update={"job_id": SECOND_JOB_ID})
REPAINTED = InfluencerUpdated(changes={"hairColor": "red"})
TO_READY = (CREATED, STARTED, RENDERED, READY)


def given(*history: EventData) -> KnownInfluencer:
    known = KnownInfluencer()
    for sequence, data in enumerate(history, 1):
        known = follow(known, envelope(data, sequence))
    return known


def asked(sequence: int | None = 1) -> Request:
    data = ContentRequested(
        job_id=CONTENT_JOB_ID,
        influencer_id=INFLUENCER_ID,
        brief="Sale!",
        influencer_sequence=sequence,
    )
    return requested(envelope(data, 1, CONTENT_ID), data)


def said(known: KnownInfluencer, sequence: int | None = 1) -> str:
    judged: Verdict = verdict(known, asked(sequence))
    return judged if isinstance(judged, str) else judged.code


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((), "wait"),
        ((DRAFTED,), "wait"),
        ((CREATED,), "wait"),
        ((CREATED, STARTED, RENDERED), "wait"),
        (TO_READY, "make"),
        ((*TO_READY, AGAIN, AGAIN_STARTED), "make"),
        ((*TO_READY, AGAIN, AGAIN_STARTED, AGAIN_FAILED), "make"),
        ((CREATED, STARTED, FAILED), "INFLUENCER_FAILED"),
        ((CREATED, CANCELED), "INFLUENCER_FAILED"),
        ((CREATED, STARTED, FAILED, AGAIN), "wait"),
        ((CREATED, CANCELED, DELETED), "INFLUENCER_DELETED"),
        ((*TO_READY, DELETED), "INFLUENCER_DELETED"),
    ],
)
def test_a_picture_waits_until_its_influencer_is_ready(
    history: tuple[EventData, ...], expected: str
) -> None:
    assert said(given(*history)) == expected


@pytest.mark.parametrize(("sequence", "expected"), [(3, "INFLUENCER_FAILED"), (4, "wait")])
def test_nothing_is_judged_by_what_was_before_the_request(sequence: int, expected: str) -> None:
    assert said(given(CREATED, STARTED, FAILED), sequence) == expected


def test_a_request_of_before_sequences_were_told_takes_the_influencer_as_it_is() -> None:
    assert said(given(*TO_READY), None) == "make"


def test_the_person_is_as_the_reference_images_show_it() -> None:
    """A change is not in any of them until they are rendered anew."""
    changed = (REPAINTED, ReferenceImagesLinked(images=(uploaded(8),)))
    again = (AGAIN, AGAIN_STARTED, AGAIN_RENDERED)
    for history in (TO_READY, (*TO_READY, *changed), (*TO_READY, *changed, *again)):
        person = given(*history).person
        assert person is not None
        assert person.profile == PROFILE
        assert person.reference_images == (SEED,)
        assert person.identity_id == CREATED.identity_id
    renewed = given(*TO_READY, *changed, *again, AGAIN_READY).person
    assert renewed is not None
    assert renewed.profile.hair_color == "red"
    assert renewed.reference_images == (SEED, uploaded(8))


def test_a_change_during_a_render_is_not_in_the_images_of_that_render() -> None:
    person = given(CREATED, STARTED, REPAINTED, RENDERED, READY).person
    assert person is not None
    assert person.profile == PROFILE


def test_an_event_that_comes_again_changes_nothing() -> None:
    known = given(*TO_READY)
    assert follow(known, envelope(STARTED, 2)) == known


def test_it_goes_on_behind_events_that_were_skipped_or_are_of_a_newer_type() -> None:
    deleted = follow(given(*TO_READY), envelope(DELETED, 7))
    assert deleted.sequence == 7
    assert said(deleted) == "INFLUENCER_DELETED"
    with pytest.raises(ImpossibleEvent):
        follow(given(CREATED), envelope(READY, 4))


def test_a_task_names_what_released_it() -> None:
    by = envelope(READY, 4)
    task = released(asked(), None, by.id, by.time)
    assert (task.causation_id, task.released_at) == (by.id, by.time)
    assert (task.content_id, task.project_id, task.brief) == (CONTENT_ID, PROJECT_ID, "Sale!")


def test_a_failure_tells_the_influencers() -> None:
    judged = verdict(given(CREATED, STARTED, FAILED), asked())
    assert not isinstance(judged, str)
    assert ERROR.message in judged.message
    assert not judged.retryable
