"""From the log to the queue: what each event means for the pictures that are wanted."""

from collections.abc import Collection, Sequence

import asyncpg

from schemas.events import (
    CONTENT_TOPIC,
    INFLUENCER_TOPIC,
    ContentFailed,
    ContentGenerated,
    ContentRequested,
    Event,
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
    ReferenceImageUnlinked,
)
from schemas.ids import Prefix
from services.content.store import (
    InfluencerKey,
    add_request,
    find_influencers,
    find_ripe,
    find_waiting,
    forget_request,
    key_of,
    lock_influencers,
    release,
    save_influencers,
)
from services.content.task import PLACE
from services.content.waiting import (
    KnownInfluencer,
    Request,
    follow,
    released,
    requested,
    verdict,
)
from services.core.domain.errors import ImpossibleEvent
from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.subscriber import Poison, Received, TryLater
from services.core.work.queue import add_in, cancel_in

JUDGED_AT_ONCE = 100
SUBSCRIPTION = "influencer-content"
TOPICS = (INFLUENCER_TOPIC, CONTENT_TOPIC)
TYPES: tuple[type[EventData], ...] = (
    InfluencerDrafted,
    InfluencerCreateRequested,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerFailed,
    InfluencerUpdated,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
    InfluencerDeleted,
    JobCanceled,
    ContentRequested,
    ContentGenerated,
    ContentFailed,
)


async def take_in(events: Sequence[Received[EventData]], connection: Connection) -> None:
    """Handles `events` in order; whatever comes of them commits with the positions.

    Raises Poison for an event that can't have happened, and TryLater while another member has
    taken the same influencers and doesn't come to an end.
    """
    intake = await _intake(
        connection, {key for received in events if (key := _influencer_of(received.event))}
    )
    for received in events:
        try:
            await intake.take(received.event)
        except ImpossibleEvent as fault:
            raise Poison(str(fault)) from fault
    await intake.settle()
    fail_point("intake.before_commit")


async def judge_again(connection: Connection, now: str) -> int:
    """Queues what waits although it needn't any more; how many requests. A net: there are none.

    Runs in a transaction. Raises TryLater.
    """
    ripe = await find_ripe(connection, JUDGED_AT_ONCE)
    intake = await _intake(connection, ripe)
    return sum([await intake.release(key, None, now) for key in ripe])


async def _intake(connection: Connection, keys: Collection[InfluencerKey]) -> "_Intake":
    try:
        await lock_influencers(connection, keys)
    except asyncpg.LockNotAvailableError as fault:
        raise TryLater("another member has taken the same influencers") from fault
    return _Intake(
        connection,
        await find_influencers(connection, keys),
        await find_waiting(connection, keys),
    )


class _Intake:
    def __init__(
        self,
        connection: Connection,
        known: dict[InfluencerKey, KnownInfluencer],
        waiting: dict[InfluencerKey, dict[str, Request]],
    ) -> None:
        self._connection = connection
        self._known = known
        self._waiting = waiting
        self._moved: dict[InfluencerKey, Event] = {}
        self._changed: dict[InfluencerKey, KnownInfluencer] = {}

    async def take(self, event: Event) -> None:
        if not event.subject.startswith(Prefix.CONTENT):
            await self._follow(event)
        elif isinstance(event.data, ContentRequested):
            await self._request(event, event.data)
        else:
            await self._end(event)

    async def _follow(self, event: Event) -> None:
        key = InfluencerKey(event.organization_id, event.subject)
        self._known[key] = follow(self._known.get(key, KnownInfluencer()), event)
        self._changed[key] = self._known[key]
        self._moved[key] = event

    async def _request(self, event: Event, data: ContentRequested) -> None:
        request = requested(event, data)
        if await add_request(self._connection, request):
            self._waiting.setdefault(key_of(request), {})[request.content_id] = request
            self._moved[key_of(request)] = event

    async def _end(self, event: Event) -> None:
        for requests in self._waiting.values():
            requests.pop(event.subject, None)
        await forget_request(self._connection, event.organization_id, event.subject)
        if isinstance(event.data, JobCanceled):
            await cancel_in(self._connection, PLACE, event.data.job_id)

    async def settle(self) -> None:
        """Saves what is known now, and judges by that alone: a cancel that a deletion brings with
        it stands right before the deletion."""
        await save_influencers(self._connection, self._changed)
        for key, by in self._moved.items():
            await self.release(key, by.id, by.time)

    async def release(self, key: InfluencerKey, causation_id: str | None, at: str) -> int:
        """Queues whatever needn't wait for the influencer any longer, and says how many requests.

        Without a `causation_id` it is the request's own event.
        """
        waiting, known = self._waiting.get(key, {}), self._known.get(key, KnownInfluencer())
        ripe = [(one, said) for one in waiting.values() if (said := verdict(known, one)) != "wait"]
        for request, said in ripe:
            error = None if said == "make" else said
            task = released(request, error, causation_id or request.event_id, at)
            await add_in(self._connection, PLACE, task)
            del waiting[request.content_id]
        if ripe:
            await release(self._connection, (request for request, _ in ripe))
        return len(ripe)


def _influencer_of(event: Event) -> InfluencerKey | None:
    """Whose state and requests the event needs."""
    if isinstance(event.data, ContentRequested):
        return InfluencerKey(event.organization_id, event.data.influencer_id)
    if event.subject.startswith(Prefix.INFLUENCER):
        return InfluencerKey(event.organization_id, event.subject)
    return None
