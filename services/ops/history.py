"""A stream's history from the log itself: its states, and what each event changed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.events import Event
from services.core.domain.aggregates import Aggregate, StreamState, aggregate_of
from services.core.domain.errors import ImpossibleEvent
from services.core.errors import DependencyUnavailable
from services.core.readmodel.records import LogRecord, StreamId, read_record
from services.core.readmodel.skips import NO_SKIPS, Skip, Skips, find_skips, passed_over, skip_of
from services.ops.connections import database
from services.ops.events import Span, records
from services.ops.faults import CommandFault, OperatorMistake
from services.ops.progress import progress
from services.ops.settings import OperationsSettings
from services.ops.streams import StreamAddress, find_streams, topic_of

At = int | datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """`path` is dotted, camelCase; `before` or `after` is None where the field was not, or is not,
    there."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "before": self.before, "after": self.after}


Note = Literal["skipped", "repeated"]
"""Why a record has changed nothing: an operator has given it up, or it was on the log before."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record and the state that it led to.

    `event` is None for one that was skipped and can't be read. `sequence` is the stream's after a
    skipped one, else the event's own; `time` that of the last event up to here.
    """

    event: Event | None
    sequence: int
    time: str
    partition: int
    offset: int
    state: StreamState
    changes: Sequence[Change] = ()
    note: Note | None = None

    @property
    def type(self) -> str:
        return self.event.type if self.event else ""

    @property
    def id(self) -> str:
        return self.event.id if self.event else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "type": self.type,
            "time": self.time,
            "id": self.id,
            "note": self.note,
            "partition": self.partition,
            "offset": self.offset,
            "changes": [change.as_json() for change in self.changes],
        }


@dataclass(frozen=True, slots=True)
class History:
    """`fault` says why the log can't be folded any further than the last of `steps`."""

    address: StreamAddress
    topic: str
    steps: Sequence[Step]
    fault: str | None = None

    @property
    def state(self) -> dict[str, Any]:
        return plain(self.steps[-1].state)

    @property
    def sequence(self) -> int:
        """What the stream had reached by the last step."""
        return self.steps[-1].state.sequence if self.steps else 0

    def until(self, at: At) -> "History":
        """What it was then: the fault of a later time is none.

        Raises CommandFault when there was nothing yet, or isn't so much.
        """
        if at is None:
            return self
        steps = [step for step in self.steps if not _is_after(step, at)]
        if not steps:
            raise CommandFault(f"{self.address.stream_id} did not exist then")
        last = self.sequence
        if isinstance(at, int) and at > last:
            raise CommandFault(self.fault or f"{self.address.stream_id} has {last} events only")
        fault = self.fault if len(steps) == len(self.steps) and not isinstance(at, int) else None
        return History(self.address, self.topic, steps, fault)


async def read_history(
    settings: OperationsSettings, stream_id: str, organization_id: str | None
) -> History:
    """Reads the stream's partition alone where it is known which one that is.

    Raises CommandFault when it isn't on the log, OperatorMistake when several organizations have
    it.
    """
    topic = topic_of(stream_id, settings.topics)
    streams = await find_streams(settings, stream_id, organization_id)
    found = await _records_of(
        settings, Span([topic], streams=streams, from_beginning=True), streams, stream_id
    )
    if len(found) > 1:
        organizations = ", ".join(address.organization_id for address in found)
        raise OperatorMistake(f"several have {stream_id}, say --organization: {organizations}")
    for address, records_of_it in found.items():
        skips = await _find_skips(settings, StreamId(topic, address.key.decode()))
        return fold_history(address, topic, records_of_it, skips)
    raise CommandFault(f"there is no {stream_id} on the log")


async def _find_skips(settings: OperationsSettings, stream: StreamId) -> Skips:
    """None where Postgres doesn't say: then a skipped record is where the history ends."""
    try:
        async with database(settings.database) as connection:
            return await find_skips(connection, [stream])
    except (DependencyUnavailable, CommandFault):
        return NO_SKIPS


async def _records_of(
    settings: OperationsSettings,
    span: Span,
    streams: Sequence[StreamAddress],
    stream_id: str,
) -> dict[StreamAddress, list[LogRecord]]:
    keys = {stream.key: stream for stream in streams}
    suffix = f"/{stream_id}".encode()
    found: dict[StreamAddress, list[LogRecord]] = {}
    with progress("reading the log", unit="records") as meter:
        async with aclosing(records(settings.kafka, span, meter)) as all_records:
            async for record in all_records:
                key = record.key or b""
                if key in keys or (not keys and key.endswith(suffix)):
                    organization_id = key.removesuffix(suffix).decode(errors="replace")
                    address = StreamAddress(organization_id, stream_id)
                    found.setdefault(address, []).append(read_record(record))
    return found


def fold_history(
    address: StreamAddress,
    topic: str,
    of_stream: Iterable[LogRecord],
    skips: Skips = NO_SKIPS,
) -> History:
    """By the same `evolve` as append and projection; ends at the first record that can't be."""
    fold = _Fold(aggregate_of(address.stream_id))
    for record in of_stream:
        place = f"{record.partition}:{record.offset}"
        skip = skip_of(record, skips) if skips else None
        if skip is None and record.event is None:
            return History(address, topic, fold.steps, f"the record at {place}: {record.fault}")
        try:
            fold.take(record, skip)
        except ImpossibleEvent as fault:
            return History(address, topic, fold.steps, f"the event at {place}: {fault}")
    return History(address, topic, fold.steps)


class _Fold:
    def __init__(self, aggregate: Aggregate) -> None:
        self.steps: list[Step] = []
        self._aggregate = aggregate
        self._state = aggregate.initial_state
        self._events: dict[int, Event] = {}

    def take(self, record: LogRecord, skip: Skip | None) -> None:
        """Raises ImpossibleEvent."""
        event = record.event
        if skip:
            return self._pass_over(record, skip)
        assert event is not None
        if event == self._events.get(event.sequence):
            return self._add(record, event.sequence, note="repeated")
        before = self._state
        if event.sequence > before.sequence or event.sequence in self._events:
            self._state = self._aggregate.evolve(before, event)
        self._events[event.sequence] = event
        changes = list(differences(plain(before), plain(self._state)))
        return self._add(record, event.sequence, changes)

    def _pass_over(self, record: LogRecord, skip: Skip) -> None:
        # What the projector has no state of doesn't go on behind a skip either.
        if 0 < self._state.sequence < skip.sequence_after:
            self._state = passed_over(self._state, skip.sequence_after)
        self._add(record, skip.sequence_after, note="skipped")

    def _add(
        self,
        record: LogRecord,
        sequence: int,
        changes: Sequence[Change] = (),
        note: Note | None = None,
    ) -> None:
        before = self.steps[-1].time if self.steps else ""
        time = record.event.time if record.event and note is None else before
        place = record.partition, record.offset
        self.steps.append(Step(record.event, sequence, time, *place, self._state, changes, note))


def plain(state: StreamState) -> dict[str, Any]:
    """As it is on the wire, less the sequence."""
    dumped: dict[str, Any] = state.model_dump(mode="json", by_alias=True, exclude={"sequence"})
    return dumped


def differences(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Field by field; what is added or removed as a whole stays whole in a list."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from differences(before.get(name), after.get(name), _joined(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _differences_of_lists(before, after, path)
    elif before is None and isinstance(after, dict):
        yield from differences({}, after, path)
    elif before is None and isinstance(after, list):
        yield from _differences_of_lists([], after, path)
    elif before != after:
        yield Change(path, before, after)


def _differences_of_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Change]:
    """By what is in them: an item that moved up is neither new nor gone."""
    for place, item in enumerate(before):
        if item not in after:
            yield Change(f"{path}[{place}]", item, None)
    for place, item in enumerate(after):
        if item not in before:
            yield Change(f"{path}[{place}]", None, item)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_after(step: Step, at: int | datetime) -> bool:
    if isinstance(at, int):
        return step.state.sequence > at
    return bool(step.time) and datetime.fromisoformat(step.time) > at
