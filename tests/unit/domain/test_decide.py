"""What each command leads to, and what refuses it."""

from dataclasses import replace

import pytest

from schemas.events import (
    EventData,
    InfluencerRenderRequested,
    InfluencerUpdated,
    JobCanceled,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
)
from schemas.profile import Profile
from services.core.domain.commands import Command
from services.core.domain.errors import (
    CommandRefused,
    ImageNotExpected,
    ImagesMissing,
    InfluencerAlreadyExists,
    InfluencerNotFound,
    JobCancelUnavailable,
    JobEnded,
    JobStillRunning,
    NameRequired,
    ReferenceImageNotFound,
    SequenceMismatch,
)
from services.core.domain.profile_changes import with_changes
from tests.unit.domain.histories import (
    CREATE,
    DELETE,
    DELETED,
    DRAFT,
    DRAFTED,
    FINALIZING,
    GONE,
    HALF_RENDERED,
    READY,
    RENDER,
    RENDER_REQUESTED,
    RENDERING_AGAIN,
    REQUESTED,
    cancel,
    canceled,
    complete,
    completed,
    fail,
    failed,
    image,
    link,
    record,
    start,
    started,
    unlink,
    update,
)
from tests.unit.domain.specification import given
from tests.unit.samples import (
    JOB_ID,
    KEY_ID,
    OTHER_INFLUENCER_ID,
    SECOND_JOB_ID,
    asset_id,
    rendered,
    uploaded,
)

EVERY_COMMAND: tuple[Command, ...] = (
    DRAFT,
    CREATE,
    RENDER,
    start(),
    record(0, rendered(99)),
    complete(),
    fail(),
    cancel(),
    update(name="Mia"),
    link(uploaded(99)),
    unlink(1),
    DELETE,
)
JOB_COMMANDS: tuple[Command, ...] = (
    start(),
    record(1, rendered(99)),
    complete(),
    fail(),
    cancel(),
)


def name_of(command: Command) -> str:
    return type(command).__name__


def test_an_unused_id_is_drafted() -> None:
    given().when(DRAFT).then(DRAFTED)


def test_an_unused_id_is_created() -> None:
    given().when(CREATE).then(REQUESTED)


def test_a_creation_from_a_source_is_a_clone() -> None:
    clone = replace(CREATE, source_influencer_id=OTHER_INFLUENCER_ID)
    state = (
        given()
        .when(clone)
        .then(
            REQUESTED.model_copy(
                update={
                    "job_kind": "influencer_clone",
                    "source_influencer_id": OTHER_INFLUENCER_ID,
                }
            )
        )
    )
    assert state.influencer is not None
    assert state.influencer.source_influencer_id == OTHER_INFLUENCER_ID


@pytest.mark.parametrize("command", [DRAFT, CREATE], ids=name_of)
def test_a_seed_that_is_named_twice_counts_once(command: Command) -> None:
    doubled = replace(command, reference_images=(uploaded(1), uploaded(1)))  # type: ignore[call-arg]
    given().when(doubled).then(DRAFTED if command is DRAFT else REQUESTED)


@pytest.mark.parametrize("command", [DRAFT, CREATE], ids=name_of)
@pytest.mark.parametrize("history", [(DRAFTED,), READY, GONE], ids=["draft", "ready", "deleted"])
def test_an_id_is_never_used_twice(history: tuple[EventData, ...], command: Command) -> None:
    given(*history).when(command).then_refused(InfluencerAlreadyExists)


@pytest.mark.parametrize("command", EVERY_COMMAND[2:], ids=name_of)
def test_an_influencer_that_never_was_answers_no_command(command: Command) -> None:
    given().when(command).then_refused(CommandRefused)


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=name_of)
def test_a_deleted_influencer_answers_no_command(command: Command) -> None:
    given(*GONE).when(command).then_refused(CommandRefused)


@pytest.mark.parametrize("command", [RENDER, update(name="Mia"), link(uploaded(9)), DELETE])
def test_a_deleted_influencer_is_not_found(command: Command) -> None:
    given(*GONE).when(command).then_refused(InfluencerNotFound)


@pytest.mark.parametrize(
    "history",
    [
        (DRAFTED,),
        READY,
        (REQUESTED, failed()),
        (REQUESTED, canceled()),
    ],
    ids=["draft", "ready", "failed", "canceled"],
)
def test_an_influencer_without_a_running_job_is_rendered(history: tuple[EventData, ...]) -> None:
    given(*history).when(RENDER).then(RENDER_REQUESTED)


def test_a_render_waits_for_the_running_job() -> None:
    refusal = given(REQUESTED).when(RENDER).then_refused(JobStillRunning)
    assert refusal.job_id == JOB_ID


def test_a_render_asks_for_the_views_of_its_command() -> None:
    command = replace(RENDER, views=("evening",))
    given(DRAFTED).when(command).then(
        InfluencerRenderRequested(job_id=SECOND_JOB_ID, views=("evening",))
    )


def test_each_start_of_a_job_is_a_new_attempt() -> None:
    given(REQUESTED).when(start()).then(started(attempt=1))
    given(REQUESTED, started()).when(start()).then(started(attempt=2))


def test_a_missing_image_is_recorded_with_its_view() -> None:
    given(REQUESTED, started()).when(record(1, rendered(11))).then(image(1, rendered(11)))


@pytest.mark.parametrize("index", [0, 2, -1], ids=["recorded", "beyond", "negative"])
def test_an_image_that_is_not_missing_is_refused(index: int) -> None:
    refusal = given(*HALF_RENDERED).when(record(index, rendered(99))).then_refused(ImageNotExpected)
    assert refusal.index == index


def test_a_job_with_all_its_images_completes_in_the_order_of_its_views() -> None:
    history = (REQUESTED, started(), image(1, rendered(11)), image(0, rendered(10)))
    given(*history).when(complete()).then(completed(10, 11))


def test_a_job_that_misses_images_does_not_complete() -> None:
    refusal = given(*HALF_RENDERED).when(complete()).then_refused(ImagesMissing)
    assert refusal.indexes == (1,)


def test_a_running_job_fails_at_any_stage() -> None:
    given(REQUESTED).when(fail()).then(failed())
    given(*FINALIZING).when(fail()).then(failed())


def test_a_queued_or_rendering_job_is_canceled() -> None:
    given(REQUESTED).when(cancel()).then(canceled())
    given(*HALF_RENDERED).when(cancel()).then(canceled())


def test_a_job_that_is_finalizing_is_too_late_to_cancel() -> None:
    refusal = given(*FINALIZING).when(cancel()).then_refused(JobCancelUnavailable)
    assert (refusal.job_id, refusal.stage) == (JOB_ID, "finalizing")


@pytest.mark.parametrize("command", JOB_COMMANDS, ids=name_of)
@pytest.mark.parametrize(
    ("end", "status"),
    [
        ((canceled(),), "canceled"),
        ((failed(),), "failed"),
        ((image(1, rendered(11)), completed(10, 11)), "completed"),
    ],
    ids=["canceled", "failed", "completed"],
)
def test_an_ended_job_answers_no_command_and_says_how_it_ended(
    end: tuple[EventData, ...], status: str, command: Command
) -> None:
    refusal = given(*HALF_RENDERED, *end).when(command).then_refused(JobEnded)
    assert (refusal.job_id, refusal.status) == (JOB_ID, status)


@pytest.mark.parametrize("command", JOB_COMMANDS, ids=name_of)
def test_a_job_that_another_one_followed_answers_no_command(command: Command) -> None:
    refusal = given(*RENDERING_AGAIN).when(command).then_refused(JobEnded)
    assert (refusal.job_id, refusal.status) == (JOB_ID, None)


def test_an_update_names_only_what_changes() -> None:
    command = update(name="Mia Wong", gender="female", vibe="calm")
    given(DRAFTED).when(command).then(
        InfluencerUpdated(changes={"name": "Mia Wong", "vibe": "calm"})
    )


def test_an_update_that_changes_nothing_leads_to_nothing() -> None:
    given(DRAFTED).when(update(name="Ava Chen", vibe=None)).then_nothing()
    given(DRAFTED).when(update(personality={"tone": "conversational"})).then_nothing()
    given(DRAFTED).when(update(personality={"humor": None})).then_nothing()
    given(DRAFTED).when(update(personality={})).then_nothing()


def test_a_null_clears_a_field() -> None:
    state = given(DRAFTED).when(update(style=None)).then(InfluencerUpdated(changes={"style": None}))
    assert state.influencer is not None
    assert state.influencer.profile.style is None


def test_a_name_is_never_cleared() -> None:
    given(DRAFTED).when(update(name=None, vibe="calm")).then_refused(NameRequired)


@pytest.mark.parametrize("nothing", [{}, {"tone": None}, {"tone": None, "traits": None}])
def test_nothing_said_of_no_personality_changes_nothing(nothing: dict[str, None]) -> None:
    cleared = InfluencerUpdated(changes={"personality": None})
    given(DRAFTED, cleared).when(update(personality=nothing)).then_nothing()
    profile = Profile(name="Ava")
    assert with_changes(profile, {"personality": nothing}) == profile


def test_a_personality_merges_key_by_key() -> None:
    command = update(personality={"tone": None, "humor": "dry", "traits": ["direct"]})
    state = (
        given(DRAFTED)
        .when(command)
        .then(InfluencerUpdated(changes={"personality": {"traits": ["direct"], "humor": "dry"}}))
    )
    assert state.influencer is not None
    assert state.influencer.profile.personality is not None
    assert state.influencer.profile.personality.model_dump(exclude_none=True) == {
        "traits": ("direct",),
        "humor": "dry",
    }


def test_a_null_personality_is_cleared_whole_and_can_be_given_again() -> None:
    cleared = InfluencerUpdated(changes={"personality": None})
    given(DRAFTED).when(update(personality=None)).then(cleared)
    given(DRAFTED, cleared).when(update(personality={"tone": "dry", "humor": None})).then(
        InfluencerUpdated(changes={"personality": {"tone": "dry"}})
    )


@pytest.mark.parametrize(
    "command",
    [update(2, name="Mia"), replace(DELETE, expected_sequence=2)],
    ids=name_of,
)
def test_a_decision_on_an_older_state_is_refused(command: Command) -> None:
    refusal = given(*HALF_RENDERED).when(command).then_refused(SequenceMismatch)
    assert (refusal.expected, refusal.actual) == (2, 3)


def test_a_decision_on_the_state_as_it_is_goes_through() -> None:
    given(*HALF_RENDERED).when(update(3, name="Mia")).then(
        InfluencerUpdated(changes={"name": "Mia"})
    )
    given(*READY).when(replace(DELETE, expected_sequence=5)).then(DELETED)


def test_linked_images_skip_the_known_ones() -> None:
    command = link(uploaded(1), uploaded(2), uploaded(2), uploaded(3))
    given(DRAFTED).when(command).then(ReferenceImagesLinked(images=(uploaded(2), uploaded(3))))


def test_linking_only_known_images_leads_to_nothing() -> None:
    given(*READY).when(link(uploaded(1))).then_nothing()
    given(*READY).when(link()).then_nothing()


def test_a_reference_image_is_unlinked_whatever_its_source() -> None:
    given(*READY).when(unlink(1)).then(ReferenceImageUnlinked(asset_id=asset_id(1)))
    given(*READY).when(unlink(10)).then(ReferenceImageUnlinked(asset_id=asset_id(10)))


def test_an_image_of_somebody_else_is_not_unlinked() -> None:
    given(*READY).when(unlink(99)).then_refused(ReferenceImageNotFound)


def test_an_unlinked_image_can_be_linked_again() -> None:
    history = (DRAFTED, ReferenceImageUnlinked(asset_id=asset_id(1)))
    given(*history).when(link(uploaded(1))).then(ReferenceImagesLinked(images=(uploaded(1),)))


def test_an_influencer_without_a_running_job_is_just_deleted() -> None:
    given(*READY).when(DELETE).then(DELETED)
    given(DRAFTED).when(DELETE).then(DELETED)


@pytest.mark.parametrize(
    "history", [(REQUESTED,), HALF_RENDERED, FINALIZING], ids=["queued", "rendering", "finalizing"]
)
def test_a_deletion_cancels_the_running_job_right_before_it(
    history: tuple[EventData, ...],
) -> None:
    given(*history).when(DELETE).then(JobCanceled(job_id=JOB_ID, requested_by=KEY_ID), DELETED)
