"""Whatever is asked, in whatever order: the history is legal and its fold is one."""

import json
from collections import defaultdict
from itertools import zip_longest

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.events import Event, JobCanceled, decode, headers_of, value_of
from schemas.images import ReferenceImage
from services.core.domain.commands import (
    Command,
    CreateInfluencer,
    RenderInfluencer,
    UpdateInfluencer,
)
from services.core.domain.decide import decide
from services.core.domain.errors import CommandRefused, SequenceGap
from services.core.domain.evolve import evolve, fold
from services.core.domain.state import INITIAL_STATE, InfluencerStream, Job
from tests.unit.domain.histories import (
    DELETE,
    DRAFT,
    cancel,
    complete,
    fail,
    link,
    record,
    start,
    unlink,
)
from tests.unit.domain.specification import numbered
from tests.unit.samples import (
    INFLUENCER_ID,
    ORGANIZATION_ID,
    PROFILE,
    PROJECT_ID,
    job_id,
    rendered,
    uploaded,
)
from tests.unit.schemas.strategies import profile_changes

TERMINAL = {"InfluencerReady", "InfluencerFailed", "JobCanceled"}

views = st.sampled_from([("portrait",), ("portrait", "smiling"), ("a", "b", "c")])
seeds = st.lists(st.integers(1, 4).map(uploaded), max_size=3).map(tuple)
ages = st.sampled_from([0, 0, 0, 1])
"""How long ago a job was made: mostly it is the last one that is talked about."""


class AnyHistory(RuleBasedStateMachine):
    """Asks for anything; notes what was decided, as the log would."""

    def __init__(self) -> None:
        super().__init__()
        self.state = INITIAL_STATE
        self.log: list[Event] = []
        self.jobs_made = 0
        self.images_made = 100
        self.progress: dict[str, float] = defaultdict(float)
        self.ended: dict[str, Job] = {}
        self.was_ready = False

    def ask(self, command: Command) -> None:
        try:
            decided = decide(self.state, command)
        except CommandRefused:
            return
        for event in numbered(decided, start=len(self.log) + 1):
            self.state = evolve(self.state, event)
            self.log.append(event)
            self.note_job()

    def note_job(self) -> None:
        job = self.state.job
        if job is None:
            return
        assert self.progress[job.job_id] <= job.progress <= 1
        assert (job.progress == 1) == (job.status == "completed")
        self.progress[job.job_id] = job.progress
        if not job.is_running:
            assert self.ended.setdefault(job.job_id, job) == job

    def new_job_id(self) -> str:
        self.jobs_made += 1
        return job_id(self.jobs_made)

    def known_job_id(self, age: int) -> str:
        return job_id(max(self.jobs_made - age, 0))

    def new_image(self) -> ReferenceImage:
        self.images_made += 1
        return rendered(self.images_made)

    @rule(rare=st.integers(0, 9))
    def draft(self, rare: int) -> None:
        if rare == 0:
            self.ask(DRAFT)

    @rule(views=views, seeds=seeds)
    def create(self, views: tuple[str, ...], seeds: tuple[ReferenceImage, ...]) -> None:
        self.ask(
            CreateInfluencer(
                ORGANIZATION_ID,
                INFLUENCER_ID,
                PROJECT_ID,
                self.new_job_id() if self.state.influencer is None else job_id(0),
                PROFILE,
                seeds,
                views=views,
            )
        )

    @rule(views=views)
    def render(self, views: tuple[str, ...]) -> None:
        running = self.state.job is not None and self.state.job.is_running
        new = job_id(0) if running else self.new_job_id()
        self.ask(RenderInfluencer(ORGANIZATION_ID, INFLUENCER_ID, new, views))

    @rule(age=ages)
    def start(self, age: int) -> None:
        self.ask(start(self.known_job_id(age)))

    @rule(age=ages, index=st.integers(-1, 3))
    def record(self, age: int, index: int) -> None:
        self.ask(record(index, self.new_image(), self.known_job_id(age)))

    @rule()
    def record_what_is_missing(self) -> None:
        job = self.state.job
        if job is not None and job.missing_indexes:
            self.ask(record(job.missing_indexes[-1], self.new_image(), job.job_id))

    @rule()
    def finish_the_running_job(self) -> None:
        job = self.state.job
        if job is not None:
            for index in job.missing_indexes:
                self.ask(record(index, self.new_image(), job.job_id))
            self.ask(complete(job.job_id))

    @rule(age=ages)
    def complete(self, age: int) -> None:
        self.ask(complete(self.known_job_id(age)))

    @rule(age=ages)
    def fail(self, age: int) -> None:
        self.ask(fail(self.known_job_id(age)))

    @rule(age=ages)
    def cancel(self, age: int) -> None:
        self.ask(cancel(self.known_job_id(age)))

    @rule(changes=profile_changes, expected=st.none() | st.integers(0, 9))
    def update(self, changes: dict[str, object], expected: int | None) -> None:
        self.ask(
            UpdateInfluencer(
                ORGANIZATION_ID,
                INFLUENCER_ID,
                changes,  # type: ignore[arg-type]  # JSON by construction
                expected,
            )
        )

    @rule(images=seeds)
    def link(self, images: tuple[ReferenceImage, ...]) -> None:
        self.ask(link(*images))

    @rule(number=st.integers(1, 4) | st.integers(101, 104))
    def unlink(self, number: int) -> None:
        self.ask(unlink(number))

    @rule(rare=st.integers(0, 4))
    def delete(self, rare: int) -> None:
        if rare == 0:
            self.ask(DELETE)

    @invariant()
    def the_state_stands_at_the_end_of_the_log(self) -> None:
        assert self.state.sequence == len(self.log)
        assert (self.state.influencer is None) == (not self.log)

    @invariant()
    def a_ready_influencer_stays_ready_until_it_is_deleted(self) -> None:
        if self.state.influencer is None:
            return
        status = self.state.influencer.status
        assert not self.was_ready or status in ("ready", "deleted")
        self.was_ready = status == "ready"

    @invariant()
    def an_influencer_waits_exactly_while_its_first_images_are_made(self) -> None:
        if self.state.influencer is None or self.was_ready:
            return
        waits = self.state.influencer.status in ("pending", "training")
        assert waits == (self.state.job is not None and self.state.job.is_running)

    @invariant()
    def no_reference_image_is_there_twice(self) -> None:
        if self.state.influencer is not None:
            ids = [image.asset_id for image in self.state.influencer.reference_images]
            assert len(ids) == len(set(ids))

    @invariant()
    def a_name_is_always_there(self) -> None:
        if self.state.influencer is not None:
            assert self.state.influencer.profile.name

    def teardown(self) -> None:
        check_job_ends(self.log)
        check_cancels(self.log)
        check_deletion(self.log)
        check_damage(self.log)
        check_folds(self.log, self.state)
        for event in self.log:
            headers = [(name, value.encode()) for name, value in headers_of(event).items()]
            assert decode(headers, value_of(event)) == event


def check_job_ends(log: list[Event]) -> None:
    ended: set[str] = set()
    for event in log:
        job = getattr(event.data, "job_id", None)
        assert job is None or job not in ended, f"{event.type} after the end of {job}"
        if event.type in TERMINAL:
            ended.add(str(job))


def check_cancels(log: list[Event]) -> None:
    """A job that has all its images is canceled by a deletion only."""
    finalizing: set[str] = set()
    for event, following in zip_longest(log, log[1:]):
        if isinstance(event.data, JobCanceled) and event.data.job_id in finalizing:
            assert following is not None
            assert following.type == "InfluencerDeleted"
        job = fold(log[: event.sequence]).job
        if job is not None and not job.missing_indexes:
            finalizing.add(job.job_id)


def check_damage(log: list[Event]) -> None:
    """A log that lost an event, or holds one twice, is refused and not folded into nonsense."""
    for place in range(len(log)):
        with pytest.raises(SequenceGap):
            fold([*log[: place + 1], *log[place:]])
        if place < len(log) - 1:
            with pytest.raises(SequenceGap):
                fold([*log[:place], *log[place + 1 :]])


def check_deletion(log: list[Event]) -> None:
    types = [event.type for event in log]
    assert "InfluencerDeleted" not in types[:-1]


def check_folds(log: list[Event], state: InfluencerStream) -> None:
    assert fold(log) == fold(log) == state
    for cut in range(len(log) + 1):
        stored = fold(log[:cut]).model_dump_json(by_alias=True)
        assert fold(log[cut:], InfluencerStream.model_validate_json(stored)) == state
    stored_small = json.dumps(state.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert InfluencerStream.model_validate_json(stored_small) == state


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
