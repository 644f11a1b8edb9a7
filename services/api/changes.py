"""The one place of the process that learns of changes of the read models, and wakes who waits.

A hint (a commit of our own, a NOTIFY of the projector or of another replica, a poll underneath)
leads to one query that asks for what it names, or for everything that is waited for; only what
changed is woken. Hints that arrive meanwhile share the next query, and queries rest in proportion
to what they cost, so the load depends neither on how often rows change nor on how many wait.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import structlog

from services.api.errors import Unavailable
from services.core.errors import DependencyUnavailable
from services.core.notifications import READ_MODEL_CHANNEL, Notification, Notifier, listen
from services.core.postgres import Pool, acquire
from services.core.readmodel.rows import columns

log = structlog.get_logger(__name__)

POLL_INTERVAL = 1.0
REST = 0.01
REST_PER_COST = 2.0
"""A query that took 20 ms is followed by 40 ms of rest."""
MAXIMUM_REST = 0.2
NOTIFY_REST = 0.05
MAXIMUM_WAITING = 20_000
SHARED_READS = 4
"""How many connections those who were woken may take from the pool at once."""

FIND_NEWER = """
select wanted.place, found.sequence
from unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[])
    with ordinality as wanted(kind, organization_id, identifier, after, place)
cross join lateral (
    (select j.sequence from read_model.jobs j
     where wanted.kind = 'job' and j.job_id = wanted.identifier
       and j.organization_id = wanted.organization_id and j.sequence > wanted.after
     limit 1)
    union all
    (select i.sequence from read_model.influencers i
     where wanted.kind = 'influencer' and i.organization_id = wanted.organization_id
       and i.influencer_id = wanted.identifier and i.sequence > wanted.after
     limit 1)
    union all
    (select e.sequence from read_model.events e
     where wanted.kind = 'history' and e.organization_id = wanted.organization_id
       and e.stream_id = wanted.identifier and e.sequence > wanted.after
     order by e.sequence desc
     limit 1)
    union all
    (select s.sequence_after from control.skipped_records s
     where wanted.kind = 'history'
       and split_part(s.stream_key, '/', 1) = wanted.organization_id::text
       and s.stream_key = wanted.organization_id::text || '/' || wanted.identifier
       and s.sequence_after > wanted.after
     order by s.sequence_after desc
     limit 1)
) as found
"""

# The places behind the organization's last record of each partition, added up.
FIND_NEWER_FEEDS = """
select wanted.place, found.sequence
from unnest($1::uuid[], $2::bigint[])
    with ordinality as wanted(organization_id, after, place)
cross join lateral (
    select sum(1 + greatest(
        (select e.record_offset from read_model.events e
         where e.organization_id = wanted.organization_id
           and e.topic = p.topic and e.partition = p.partition
         order by e.record_offset desc
         limit 1),
        (select max(q.record_offset) from read_model.quarantine q
         where split_part(q.stream_key, '/', 1) = wanted.organization_id::text
           and q.topic = p.topic and q.partition = p.partition),
        (select max(s.record_offset) from control.skipped_records s
         where split_part(s.stream_key, '/', 1) = wanted.organization_id::text
           and s.topic = p.topic and s.partition = p.partition)
    ))::bigint as sequence
    from read_model.projection_offsets p
) as found
where found.sequence > wanted.after
"""


class Subject(NamedTuple):
    """What is waited for: the sequence of a row, the last one of a stream's history, or what an
    organization's feed has for one."""

    kind: Literal["job", "influencer", "history", "feed"]
    organization_id: str
    identifier: str

    @property
    def is_projected(self) -> bool:
        """Whether only the projector writes it."""
        return self.kind in ("history", "feed")


class Heard(NamedTuple):
    """How many hints there were of changes of rows, and of changes of the history.

    The projector changes both, an append only rows. Who reads, and then waits for what is newer,
    says what had been heard before the read, and so misses nothing in between.
    """

    rows: int = 0
    history: int = 0

    def of(self, subject: Subject) -> int:
        return self.history if subject.is_projected else self.rows


class Stopping(Exception):
    """This process ends: whoever waits should answer with what there is."""


class Sequenced(Protocol):
    @property
    def sequence(self) -> int: ...


Record = TypeVar("Record", bound=Sequenced)
Value = TypeVar("Value")


class _Watched:
    """Who waits for one subject, each with the sequence it has seen; `newest` was found last."""

    __slots__ = ("newest", "waiting")

    def __init__(self) -> None:
        self.newest = 0
        self.waiting: dict[asyncio.Future[None], int] = {}

    @property
    def after(self) -> int:
        return max(self.newest, min(self.waiting.values(), default=0))

    def wake(self, sequence: int) -> None:
        self.newest = max(self.newest, sequence)
        for future, after in self.waiting.items():
            if after < sequence and not future.done():
                future.set_result(None)


@dataclass(frozen=True, slots=True)
class _Hints:
    """Of what there may be changes: of all rows, of the whole history, of some subjects."""

    of_rows: bool = False
    of_history: bool = False
    named: AbstractSet[Subject] = frozenset()

    def and_these(self, other: "_Hints") -> "_Hints":
        return _Hints(
            self.of_rows or other.of_rows,
            self.of_history or other.of_history,
            self.named | other.named,
        )

    def may_be_of(self, subject: Subject) -> bool:
        in_general = self.of_history if subject.is_projected else self.of_rows
        return in_general or subject in self.named


def _subjects(names: Mapping[str, Iterable[str]]) -> Iterator[Subject]:
    """All that may be waited for under these ids."""
    for organization_id, identifiers in names.items():
        yield Subject("feed", organization_id, "")
        for identifier in identifiers:
            yield Subject("job", organization_id, identifier)
            yield Subject("influencer", organization_id, identifier)
            yield Subject("history", organization_id, identifier)


class Changes:
    """Waits on the read models. `run` beside the server; `stop` lets everyone go."""

    def __init__(
        self, pool: Pool, database_url: str, *, poll_interval: float = POLL_INTERVAL
    ) -> None:
        self.heard = Heard()
        self._pool = pool
        self._database_url = database_url
        self._poll_interval = poll_interval
        self._sender = secrets.token_hex(8)
        self._notifier = Notifier(pool, READ_MODEL_CHANNEL, sender=self._sender, rest=NOTIFY_REST)
        self._watched: dict[Subject, _Watched] = {}
        self._waiting = 0
        self._hinted = asyncio.Event()
        self._hints = _Hints()
        self._stopping = False
        self._reads: dict[Hashable, tuple[Heard, asyncio.Task[Any]]] = {}
        self._reading = asyncio.Semaphore(SHARED_READS)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    @property
    def watched(self) -> int:
        """For how many subjects they wait."""
        return len(self._watched)

    def appended(self) -> None:
        """Says that this process has committed rows."""
        self._hint(_Hints(of_rows=True))
        self._notifier.notify()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(self._database_url, {READ_MODEL_CHANNEL: self._notified}))
            group.create_task(self._notifier.run())
            group.create_task(self._look_for_ever())

    def stop(self) -> None:
        """Everyone who waits, and who wants to wait from now on, gets Stopping."""
        self._stopping = True
        for watched in self._watched.values():
            for future in watched.waiting:
                if not future.done():
                    future.set_exception(Stopping())

    async def beyond(self, subject: Subject, after: int, heard: Heard | None = None) -> None:
        """Returns when the sequence of `subject` is over `after`.

        `heard` is None when it was not read before. Raises Stopping, and Unavailable when too many
        wait. Cancel it to give up.
        """
        if self._stopping:
            raise Stopping
        if self._waiting >= MAXIMUM_WAITING:
            raise Unavailable()
        watched = self._watched.setdefault(subject, _Watched())
        if watched.newest > after:
            return
        if heard is None or heard.of(subject) != self.heard.of(subject):
            self._look_soon(_Hints(named={subject}))
        await self._woken(subject, watched, after)

    async def until(
        self,
        record: Record,
        heard: Heard,
        subject: Subject,
        find: Callable[[], Awaitable[Record]],
        is_over: Callable[[Record], bool],
    ) -> Record:
        """`record`, or the first newer one that `find` gives for which `is_over`.

        Raises what `find` and `beyond` raise.
        """
        while not is_over(record):
            await self.beyond(subject, record.sequence, heard)
            heard, found = await self.shared(subject, find)
            if found.sequence > record.sequence:  # a shared read may be older than our own
                record = found
        return record

    async def shared(
        self, key: Hashable, read: Callable[[], Awaitable[Value]]
    ) -> tuple[Heard, Value]:
        """What `read` gives, asked once for all who want it now; and `heard` before it began."""
        under_way = self._reads.get(key)
        if under_way is None:
            under_way = self.heard, asyncio.create_task(self._read(key, read))
            self._reads[key] = under_way
        heard, task = under_way
        return heard, await asyncio.shield(task)

    async def _read(self, key: Hashable, read: Callable[[], Awaitable[Value]]) -> Value:
        try:
            async with self._reading:
                return await read()
        finally:
            del self._reads[key]

    async def _woken(self, subject: Subject, watched: _Watched, after: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched.waiting[future] = after
        self._waiting += 1
        try:
            await future
        finally:
            self._waiting -= 1
            del watched.waiting[future]
            if not watched.waiting:
                del self._watched[subject]

    def _notified(self, payload: str) -> None:
        told = Notification.read(payload)
        if told.sender and told.sender == self._sender:
            return
        if told.names is not None:
            self._hint(_Hints(named=set(_subjects(told.names))))
        elif told.sender:  # only the projector, which has no name, writes the history
            self._hint(_Hints(of_rows=True))
        else:
            self._hint(_Hints(of_rows=True, of_history=True))

    def _hint(self, hints: "_Hints") -> None:
        is_projected = hints.of_history or bool(hints.named)
        self.heard = Heard(self.heard.rows + 1, self.heard.history + is_projected)
        self._look_soon(hints)

    def _look_soon(self, hints: "_Hints") -> None:
        self._hints = self._hints.and_these(hints)
        self._hinted.set()

    async def _look_for_ever(self) -> None:
        now = asyncio.get_running_loop().time
        polled = now()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._hinted.wait()
            started = now()
            hints, self._hints = self._hints, _Hints()
            self._hinted.clear()
            polls = started - polled >= self._poll_interval
            if polls:
                hints, polled = _Hints(of_rows=True, of_history=True), started
            try:
                await self._look(hints)
            except DependencyUnavailable as fault:
                log.info("read_model_changes_unknown", cause=str(fault))
            cost = 0.0 if polls else now() - started
            await asyncio.sleep(REST + min(REST_PER_COST * cost, MAXIMUM_REST))

    async def _look(self, hints: "_Hints") -> None:
        subjects = hints.named if not hints.of_rows else self._watched
        wanted = {
            subject: self._watched[subject].after
            for subject in subjects
            if subject in self._watched and hints.may_be_of(subject)
        }
        feeds = {one: after for one, after in wanted.items() if one.kind == "feed"}
        others = {one: after for one, after in wanted.items() if one.kind != "feed"}
        await self._wake(
            list(others), FIND_NEWER, columns(((*one, after) for one, after in others.items()), 4)
        )
        await self._wake(
            list(feeds),
            FIND_NEWER_FEEDS,
            columns(((one.organization_id, after) for one, after in feeds.items()), 2),
        )

    async def _wake(
        self, subjects: Sequence[Subject], statement: str, wanted: list[list[Any]]
    ) -> None:
        """Wakes who waits for those of `subjects` that `statement` finds changed."""
        if not subjects:
            return
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(statement, *wanted)
        for place, sequence in rows:
            watched = self._watched.get(subjects[place - 1])
            if watched is not None:
                watched.wake(sequence)
