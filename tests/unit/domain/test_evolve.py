"""What each event does to the state, and which events no history can hold."""

from dataclasses import replace

import pytest

from schemas.events import (
    ContentRequested,
    EventData,
    InfluencerUpdated,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
)
from services.core.domain.errors import ImpossibleEvent, SequenceGap
from services.core.domain.evolve import CANCELED_MESSAGE, evolve
from services.core.domain.state import INITIAL_STATE, Influencer, InfluencerStream, Job
from tests.unit.domain.histories import (
    DELETED,
    DRAFTED,
    FINALIZING,
    GONE,
    HALF_RENDERED,
    READY,
    RENDER_REQUESTED,
    RENDERING_AGAIN,
    REQUESTED,
    canceled,
    completed,
    failed,
    image,
    started,
)
from tests.unit.domain.specification import envelope, stream_of, time_of
from tests.unit.samples import (
    ERROR,
    INFLUENCER_ID,
    JOB_ID,
    ORGANIZATION_ID,
    OTHER_INFLUENCER_ID,
    PROFILE,
    PROJECT_ID,
    SECOND_JOB_ID,
    VIEWS,
    asset_id,
    rendered,
    uploaded,
)


def influencer_of(*history: EventData) -> Influencer:
    influencer = stream_of(*history).influencer
    assert influencer is not None
    return influencer


def job_of(*history: EventData) -> Job:
    job = stream_of(*history).job
    assert job is not None
    return job


def asset_ids_of(*history: EventData) -> list[str]:
    return [image.asset_id for image in influencer_of(*history).reference_images]


def asset_ids(*numbers: int) -> list[str]:
    return [asset_id(number) for number in numbers]


def test_a_drafted_influencer_is_a_draft_without_a_job() -> None:
    state = stream_of(DRAFTED)
    assert state == InfluencerStream(
        sequence=1,
        influencer=Influencer(
            organization_id=ORGANIZATION_ID,
            project_id=PROJECT_ID,
            influencer_id=INFLUENCER_ID,
            status="draft",
            profile=PROFILE,
            reference_images=(uploaded(1),),
            created_at=time_of(1),
            updated_at=time_of(1),
        ),
    )


def test_a_requested_influencer_is_pending_and_its_job_queued() -> None:
    state = stream_of(REQUESTED)
    assert state.influencer is not None
    assert (state.influencer.status, state.influencer.job_id) == ("pending", JOB_ID)
    assert state.job == Job(
        organization_id=ORGANIZATION_ID,
        project_id=PROJECT_ID,
        influencer_id=INFLUENCER_ID,
        job_id=JOB_ID,
        kind="influencer_create",
        status="running",
        stage="queued",
        views=VIEWS,
        created_at=time_of(1),
        sequence=1,
    )


@pytest.mark.parametrize(
    "history", [(DRAFTED,), (REQUESTED, failed()), (REQUESTED, canceled())], ids=str
)
def test_a_render_makes_an_influencer_that_is_not_ready_pending(
    history: tuple[EventData, ...],
) -> None:
    influencer = influencer_of(*history, RENDER_REQUESTED)
    assert (influencer.status, influencer.error_message) == ("pending", None)
    assert influencer.job_id == SECOND_JOB_ID


def test_a_training_influencer_says_so_and_its_job_is_rendering() -> None:
    assert influencer_of(REQUESTED, started()).status == "training"
    job = job_of(REQUESTED, started())
    assert (job.stage, job.attempt, job.started_at) == ("rendering", 1, time_of(2))


def test_another_attempt_keeps_the_time_of_the_first_and_the_images() -> None:
    job = job_of(*HALF_RENDERED, started(attempt=2))
    assert (job.stage, job.attempt, job.started_at) == ("rendering", 2, time_of(2))
    assert job.missing_indexes == (1,)


def test_another_attempt_at_finalizing_stays_finalizing() -> None:
    assert job_of(*FINALIZING, started(attempt=2)).stage == "finalizing"


def test_each_first_image_joins_the_reference_images_at_once() -> None:
    assert asset_ids_of(*HALF_RENDERED) == asset_ids(1, 10)
    assert asset_ids_of(*FINALIZING) == asset_ids(1, 10, 11)


def test_progress_grows_with_the_images_and_is_whole_only_when_completed() -> None:
    histories = ((REQUESTED,), HALF_RENDERED, FINALIZING, READY)
    assert [job_of(*history).progress for history in histories] == [0.0, 0.5, 0.99, 1.0]
    assert [job_of(*history).stage for history in histories] == [
        "queued",
        "rendering",
        "finalizing",
        "done",
    ]


def test_a_ready_influencer_has_a_completed_job() -> None:
    assert influencer_of(*READY).status == "ready"
    job = job_of(*READY)
    assert (job.status, job.stage, job.finished_at) == ("completed", "done", time_of(5))


def test_an_influencer_that_was_never_ready_fails_with_its_job() -> None:
    influencer = influencer_of(*HALF_RENDERED, failed())
    assert (influencer.status, influencer.error_message) == ("failed", ERROR.message)
    job = job_of(*HALF_RENDERED, failed())
    assert (job.status, job.stage, job.error) == ("failed", "done", ERROR)
    assert (job.progress, job.finished_at) == (0.5, time_of(4))


def test_an_influencer_that_was_never_ready_fails_when_its_job_is_canceled() -> None:
    influencer = influencer_of(*HALF_RENDERED, canceled())
    assert (influencer.status, influencer.error_message) == ("failed", CANCELED_MESSAGE)
    assert "canceled" in CANCELED_MESSAGE
    job = job_of(*HALF_RENDERED, canceled())
    assert (job.status, job.stage, job.error) == ("canceled", "done", None)


@pytest.mark.parametrize(
    "more",
    [
        (),
        (image(0, rendered(20), SECOND_JOB_ID),),
        (failed(SECOND_JOB_ID),),
        (canceled(SECOND_JOB_ID),),
    ],
    ids=["rendering", "half rendered", "failed", "canceled"],
)
def test_a_ready_influencer_stays_ready_with_its_images_until_the_new_set_is_complete(
    more: tuple[EventData, ...],
) -> None:
    influencer = influencer_of(*RENDERING_AGAIN, *more)
    assert (influencer.status, influencer.error_message) == ("ready", None)
    assert asset_ids_of(*RENDERING_AGAIN, *more) == asset_ids(1, 10, 11)


def test_a_complete_new_set_replaces_the_rendered_images_in_the_order_of_its_views() -> None:
    history = (
        *RENDERING_AGAIN,
        ReferenceImagesLinked(images=(uploaded(2),)),
        image(1, rendered(21), SECOND_JOB_ID),
        image(0, rendered(20), SECOND_JOB_ID),
    )
    assert asset_ids_of(*history) == asset_ids(1, 2, 20, 21)
    after = (*history, completed(20, 21, job_id=SECOND_JOB_ID))
    assert asset_ids_of(*after) == asset_ids(1, 2, 20, 21)


def test_the_remains_of_a_failed_set_stay_until_the_new_one_is_complete() -> None:
    history: tuple[EventData, ...] = (*HALF_RENDERED, failed(), RENDER_REQUESTED)
    history = (*history, image(0, rendered(20), SECOND_JOB_ID))
    assert asset_ids_of(*history) == asset_ids(1, 10)
    history = (*history, image(1, rendered(21), SECOND_JOB_ID))
    assert asset_ids_of(*history) == asset_ids(1, 20, 21)


def test_the_first_images_of_a_draft_join_at_once() -> None:
    history = (DRAFTED, RENDER_REQUESTED, image(0, rendered(20), SECOND_JOB_ID))
    assert asset_ids_of(*history) == asset_ids(1, 20)


def test_an_update_changes_the_profile_and_leaves_the_rest() -> None:
    changes = InfluencerUpdated(
        changes={"name": "Mia", "style": None, "hairColor": "red", "personality": {"humor": "dry"}}
    )
    influencer = influencer_of(*READY, changes)
    profile = influencer.profile.model_dump(exclude_none=True)
    assert profile == {
        "name": "Mia",
        "gender": "female",
        "hair_color": "red",
        "personality": {"humor": "dry"},
    }
    assert (influencer.status, influencer.updated_at) == ("ready", time_of(6))


def test_linked_images_are_added_and_an_unlinked_one_is_gone() -> None:
    history = (DRAFTED, ReferenceImagesLinked(images=(uploaded(2), uploaded(3))))
    assert asset_ids_of(*history) == asset_ids(1, 2, 3)
    unlinked = ReferenceImageUnlinked(asset_id=asset_id(2))
    assert asset_ids_of(*history, unlinked) == asset_ids(1, 3)


@pytest.mark.parametrize(
    "event",
    [InfluencerUpdated(changes={"vibe": "calm"}), ReferenceImagesLinked(images=(uploaded(2),))],
)
def test_what_has_nothing_to_do_with_the_job_leaves_it_alone(event: EventData) -> None:
    assert job_of(*HALF_RENDERED, event) == job_of(*HALF_RENDERED)


def test_a_deleted_influencer_is_gone_since_then() -> None:
    influencer = influencer_of(*GONE)
    assert (influencer.status, influencer.deleted_at) == ("deleted", time_of(6))
    assert job_of(*GONE) == job_of(*READY)


def test_the_job_carries_the_sequence_of_the_last_event_about_it() -> None:
    assert job_of(*FINALIZING).sequence == 4
    assert stream_of(*FINALIZING).sequence == 4


@pytest.mark.parametrize("sequence", [0, 1, 2, 4, 9], ids=str)
def test_only_the_next_sequence_is_taken(sequence: int) -> None:
    state = stream_of(REQUESTED, started())
    with pytest.raises(SequenceGap) as gap:
        evolve(state, envelope(image(0, rendered(10)), sequence))
    assert (gap.value.expected, gap.value.actual) == (3, sequence)


IMPOSSIBLE: tuple[tuple[str, tuple[EventData, ...], EventData], ...] = (
    ("a second creation", (REQUESTED,), REQUESTED),
    ("a draft of what exists", (REQUESTED,), DRAFTED),
    ("a creation after the deletion", GONE, REQUESTED),
    ("a draft after the deletion", GONE, DRAFTED),
    ("a render of nothing", (), RENDER_REQUESTED),
    ("a render beside a running job", (REQUESTED,), RENDER_REQUESTED),
    ("a render after the deletion", GONE, RENDER_REQUESTED),
    ("a start without a job", (DRAFTED,), started()),
    ("a start of another job", (REQUESTED,), started(SECOND_JOB_ID)),
    ("a start after the end", READY, started()),
    ("an image without a job", (DRAFTED,), image(0, rendered(1))),
    ("an image of another job", (REQUESTED,), image(0, rendered(1), SECOND_JOB_ID)),
    ("an image twice", HALF_RENDERED, image(0, rendered(99))),
    ("an image after the cancel", (*HALF_RENDERED, canceled()), image(1, rendered(11))),
    ("ready without all images", HALF_RENDERED, completed(10)),
    ("ready after the cancel", (REQUESTED, canceled()), completed()),
    ("ready twice", READY, completed(10, 11)),
    ("failed after ready", READY, failed()),
    ("failed without a job", (DRAFTED,), failed()),
    ("canceled after ready", READY, canceled()),
    ("canceled twice", (REQUESTED, canceled()), canceled()),
    ("canceled after the deletion", GONE, canceled()),
    ("an update of nothing", (), InfluencerUpdated(changes={"name": "Mia"})),
    ("an update after the deletion", GONE, InfluencerUpdated(changes={"name": "Mia"})),
    ("an update without a name", (DRAFTED,), InfluencerUpdated(changes={"name": None})),
    ("an update of the wrong type", (DRAFTED,), InfluencerUpdated(changes={"gender": 7})),
    ("a link after the deletion", GONE, ReferenceImagesLinked(images=(uploaded(2),))),
    ("an unlink after the deletion", GONE, ReferenceImageUnlinked(asset_id=asset_id(1))),
    ("a deletion of nothing", (), DELETED),
    ("a deletion with the job still running", (REQUESTED,), DELETED),
    ("a second deletion", GONE, DELETED),
    (
        "an event of another kind of stream",
        READY,
        ContentRequested(job_id=JOB_ID, influencer_id=INFLUENCER_ID, brief="at the beach"),
    ),
)


@pytest.mark.parametrize(
    ("history", "event"),
    [case[1:] for case in IMPOSSIBLE],
    ids=[case[0] for case in IMPOSSIBLE],
)
def test_an_event_that_nothing_could_have_led_to_is_refused(
    history: tuple[EventData, ...], event: EventData
) -> None:
    state = stream_of(*history)
    with pytest.raises(ImpossibleEvent) as refusal:
        evolve(state, envelope(event, state.sequence + 1))
    assert refusal.value.event_type == type(event).__name__


def test_an_event_of_another_influencer_is_refused() -> None:
    state = stream_of(REQUESTED)
    foreign = envelope(started(), 2, subject=OTHER_INFLUENCER_ID)
    with pytest.raises(ImpossibleEvent):
        evolve(state, foreign)
    elsewhere = replace(envelope(started(), 2), organization_id="another organization")
    with pytest.raises(ImpossibleEvent):
        evolve(state, elsewhere)


def test_the_state_before_is_left_as_it_was() -> None:
    before = stream_of(*READY)
    evolve(before, envelope(DELETED, before.sequence + 1))
    assert before == stream_of(*READY)
    assert stream_of() == INITIAL_STATE
