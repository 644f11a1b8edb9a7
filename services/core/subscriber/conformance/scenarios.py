"""What may happen to a subscriber in its life, one scenario each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from schemas.events import Event, value_of

from .room import Room
from .writer import PARTITIONS, Stream, Written

KILLS = 3
CHUNK = 20
PAUSE = 0.05
BACKLOG = 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """`promise` says what is expected of a subscriber."""

    name: str
    promise: str
    play: Callable[[Room], Awaitable[None]]


def _pair(partition: int) -> tuple[Stream, Stream]:
    """One that will suffer, and a neighbour on its partition that must not notice."""
    return Stream(partition), Stream(partition)


async def _order(room: Room) -> None:
    streams = [Stream(number % PARTITIONS) for number in range(3 * PARTITIONS)]
    rounds = [[stream.event() for stream in streams] for _ in range(4)]
    shuffled = (events[::-1] if number % 2 else events for number, events in enumerate(rounds))
    await room.write(*(one for events in shuffled for one in events))
    await room.expect(_by_stream(one for events in rounds for one in events))


async def _duplicates(room: Room) -> None:
    stream, neighbour = _pair(1)
    one, two, three = stream.events(3)
    first, second = neighbour.events(2)
    await room.write(one, first, one, two)
    await room.write(two, one, three, second, two)
    await room.expect({stream.key: [one, two, three], neighbour.key: [first, second]})


async def _gap(room: Room) -> None:
    stream, neighbour = _pair(2)
    one, two, _, four, five = stream.events(5)
    first, second = neighbour.events(2)
    await room.write(one, first, two, four, second, five)
    await room.expect({stream.key: [one, two], neighbour.key: [first, second]})


async def _unknown_type(room: Room) -> None:
    stream = Stream(3)
    one, two, three = stream.events(3)
    unknown = replace(
        two,
        headers={
            "ce_type": "InfluencerAscended",
            "ce_dataschema": "/schemas/events/InfluencerAscended/1.json",
        },
        value=b'{"height": 12}',
    )
    await room.write(one, unknown, three)
    await room.expect({stream.key: [one, three]})


async def _unknown_field(room: Room) -> None:
    stream = Stream(4)
    one, two, three = stream.events(3)
    await room.write(one, replace(two, value=_with_a_field(two.event)), three)
    await room.expect({stream.key: [one, two, three]})


async def _newer_version(room: Room) -> None:
    stream, neighbour = _pair(5)
    one, two, three = stream.events(3)
    first, second = neighbour.events(2)
    newer = replace(
        two,
        headers={"ce_dataschema": f"/schemas/events/{two.event.type}/99.json"},
        value=b'{"renamed": []}',
    )
    await room.write(one, first, newer, second, three)
    await room.expect({stream.key: [one], neighbour.key: [first, second]})


async def _poison(room: Room) -> None:
    stream, neighbour = _pair(6)
    one, two, three = stream.events(3)
    first, second = neighbour.events(2)
    poison = replace(two, value=value_of(two.event)[:-3])
    await room.write(one, first, poison, second, three)
    await room.expect({stream.key: [one], neighbour.key: [first, second]})


async def _foreign(room: Room) -> None:
    stream = Stream(7)
    one, two = stream.events(2)
    foreign = replace(Stream(7).event(), value=b"hello", is_foreign=True)
    await room.write(one, foreign, two)
    await room.expect({stream.key: [one, two]})


async def _aborted(room: Room) -> None:
    stream, neighbour = _pair(8)
    one, two, three = stream.events(3)
    first = neighbour.event()
    never = stream.event(2)
    await room.write(one)
    await room.abort(never, neighbour.event(1))
    await room.write(first, two, three)
    await room.expect({stream.key: [one, two, three], neighbour.key: [first]})


async def _markers(room: Room) -> None:
    stream = Stream(9)
    events = stream.events(12)
    for one in events[:6]:
        await room.write(one)
    await room.expect({stream.key: events[:6]})
    await room.stop_all()
    for one in events[6:]:
        await room.write(one)
    await room.have_one_member()
    await room.expect({stream.key: events}, was_disturbed=True)


async def _rebalance(room: Room) -> None:
    await room.stop_all()
    async with _Load(room, [Stream(number) for number in range(PARTITIONS)]) as load:
        await room.start()
        await room.until_members(1)
        await room.until_applied(await room.applied() + CHUNK)
        second = await room.start()
        await room.until_members(2)
        await room.until_applied(await room.applied() + CHUNK)
        await room.stop(second)
        await room.until_members(1)
        await room.until_applied(await room.applied() + CHUNK)
    await room.expect(_by_stream(load.written), was_disturbed=True)


async def _kill(room: Room) -> None:
    await room.stop_all()
    async with _Load(room, [Stream(number % PARTITIONS) for number in range(CHUNK)]) as load:
        for _ in range(KILLS):
            before = await room.applied()
            member = await room.start("member-1")
            await room.until_applied(before + 2 * CHUNK)
            await room.kill(member)
    await room.start("member-1")
    await room.expect(_by_stream(load.written), was_disturbed=True)


class _Load:
    """Writes events of each stream again and again, so that the subscriber is always at work."""

    def __init__(self, room: Room, streams: Sequence[Stream]) -> None:
        self.written: list[Written] = []
        self._room = room
        self._streams = streams
        self._enough = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enough.set()
        await self._writing

    async def _write(self) -> None:
        before = await self._room.applied()
        while not self._enough.is_set():
            if before + len(self.written) - await self._room.applied() < BACKLOG:
                events = [one for stream in self._streams for one in stream.events(3)]
                await self._room.write(*events)
                self.written.extend(events)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._enough.wait()


def _by_stream(events: Iterable[Written]) -> dict[str, list[Written]]:
    streams: dict[str, list[Written]] = {}
    for one in events:
        streams.setdefault(one.stream.key, []).append(one)
    return streams


def _with_a_field(event: Event) -> bytes:
    return value_of(event)[:-1] + b',"aFieldOfTheFuture":{"deep":[1]}}'


SCENARIOS = (
    Scenario("order", "each stream in order, however streams are interleaved", _order),
    Scenario("duplicates", "an event that is on the log twice is applied once", _duplicates),
    Scenario("gap", "behind a gap nothing of the stream is applied; others go on", _gap),
    Scenario("unknown-type", "a type that is not known is passed over", _unknown_type),
    Scenario("unknown-field", "a field that is not known is ignored", _unknown_field),
    Scenario("newer-version", "an unreadable version parks its stream", _newer_version),
    Scenario("poison", "what can't be read parks its stream; others go on", _poison),
    Scenario("foreign", "a message without our headers holds nobody up", _foreign),
    Scenario("aborted", "an aborted transaction is never seen", _aborted),
    Scenario("markers", "holes in the offsets are no loss, also over a restart", _markers),
    Scenario("rebalance", "a member joins and leaves; nothing is lost or disordered", _rebalance),
    Scenario("kill", f"killed {KILLS} times under load; nothing is lost", _kill),
)
