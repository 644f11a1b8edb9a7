"""Topics of their own, a subscriber that reads them, and what is expected of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from .under_test import Effect, Guarantee, Member, NotConforming, Surroundings, UnderTest
from .writer import Stream, Writer, Written

POLL = 0.05
NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})


class Room:
    """Shared by scenarios until one fails, each with streams of its own."""

    def __init__(
        self,
        under_test: UnderTest,
        writer: Writer,
        bootstrap_servers: str,
        folder: Path,
        guarantee: Guarantee,
        patience: float,
    ) -> None:
        name = f"conformance-{uuid4().hex[:12]}"
        self.guarantee = guarantee
        self._under_test = under_test
        self._writer = writer
        self._patience = patience
        self._members: list[Member] = []
        self.surroundings = Surroundings(
            bootstrap_servers, f"{name}.", f"{name}.subscriber", folder / name
        )

    async def open(self) -> None:
        self.surroundings.state.mkdir(parents=True)
        await self._writer.create_topics(self.surroundings.prefix)

    async def close(self) -> None:
        for member in self._members:
            await member.kill()
        await self._writer.delete_topics(self.surroundings.prefix)

    async def start(self, instance: str = "") -> Member:
        member = await self._under_test.start(replace(self.surroundings, instance=instance))
        self._members.append(member)
        return member

    async def stop(self, member: Member) -> None:
        self._members.remove(member)
        await member.stop()

    async def kill(self, member: Member) -> None:
        self._members.remove(member)
        await member.kill()

    async def stop_all(self) -> None:
        for member in list(self._members):
            await self.stop(member)

    async def have_one_member(self) -> None:
        """Exactly one that runs; none is started where one runs already."""
        if not self._members:
            await self.start()

    async def until_members(self, number: int) -> None:
        async def reached() -> bool:
            return await self._writer.members(self.surroundings.group) == number

        await self._until(reached, f"the group SUBSCRIBER_GROUP to have {number} members")

    async def write(self, *written: Written) -> None:
        """One transaction."""
        await self._writer.write(self.surroundings.prefix, written)

    async def abort(self, *written: Written) -> None:
        """A transaction that is never committed."""
        await self._writer.write(self.surroundings.prefix, written, commit=False)

    async def applied(self) -> int:
        """How many effects there are."""
        return len(await self._effects())

    async def until_applied(self, number: int) -> None:
        """Waits for that many effects, of whatever events."""

        async def reached() -> bool:
            return await self.applied() >= number

        await self._until(reached, f"{number} effects")

    async def expect(
        self, expected: Mapping[str, Sequence[Written]], *, was_disturbed: bool = False
    ) -> None:
        """Of each stream, by its key, exactly these events are applied, in this order.

        After a disturbance they may be applied again, unless exactly once is the guarantee. A last
        event on the same partitions tells when what must not be applied had its time.
        """
        allowed = {key: {one.id for one in events} for key, events in expected.items()}
        await self._until_all((one for ids in allowed.values() for one in ids), allowed)
        partitions = {one.stream.partition for events in expected.values() for one in events}
        last = [Stream(partition).event() for partition in sorted(partitions)]
        await self.write(*last)
        await self._until_all({one.id for one in last})
        effects = await self._effects()
        may_repeat = was_disturbed and self.guarantee is Guarantee.AT_LEAST_ONCE
        for key, events in expected.items():
            applied = [effect for effect in effects if effect.stream == key]
            _compare(key, events, applied, may_repeat)

    async def _until_all(
        self, wanted: Iterable[str], allowed: Mapping[str, Collection[str]] = NOTHING
    ) -> None:
        """Waits for the `wanted` events; fails early for one that its stream does not allow."""
        missing = set(wanted)

        async def all_there() -> bool:
            effects = await self._effects()
            missing.difference_update([effect.id for effect in effects])
            for effect in effects:
                if effect.id not in allowed.get(effect.stream, (effect.id,)):
                    applied = [one for one in effects if one.stream == effect.stream]
                    raise _stranger(effect.stream, effect, applied)
            return not missing

        try:
            await self._until(all_there, "")
        except TimeoutError:
            raise NotConforming(
                f"{len(missing)} events that must be applied were not within"
                f" {self._patience:g} s, e.g. {min(missing)}"
            ) from None

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + self._patience
        while not await condition():
            for member in self._members:
                if member.ended:
                    raise NotConforming(member.ended)
            if time.monotonic() > deadline:
                if not what:
                    raise TimeoutError
                raise NotConforming(f"waited {self._patience:g} s in vain for {what}")
            await asyncio.sleep(POLL)

    async def _effects(self) -> Sequence[Effect]:
        return await self._under_test.effects(self.surroundings)


def _compare(
    key: str, events: Sequence[Written], effects: Sequence[Effect], may_repeat: bool
) -> None:
    applied = [(effect.id, effect.sequence) for effect in effects]
    if may_repeat:
        applied = list(dict.fromkeys(applied))
    if applied != [(one.id, one.event.sequence) for one in events]:
        expected = " ".join(str(one.event.sequence) for one in events)
        raise NotConforming(
            f"of {key} the sequences {expected} must be applied, in this order, and nothing else;"
            f" applied: {_told(effects)}"
        )


def _stranger(key: str, stranger: Effect, effects: Sequence[Effect]) -> NotConforming:
    return NotConforming(
        f"of {key} the event {stranger.id} must not be applied; applied: {_told(effects)}"
    )


def _told(effects: Sequence[Effect]) -> str:
    return " ".join(str(effect.sequence) for effect in effects) or "none"
