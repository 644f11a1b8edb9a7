"""Decisions told as given / when / then.

`given(*history).when(command).then(*events)`, or `.then_nothing()`, or `.then_refused(Error)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import pytest

from schemas.events import Event, EventData
from services.core.domain.commands import Command
from services.core.domain.decide import decide
from services.core.domain.errors import CommandRefused
from services.core.domain.evolve import evolve, fold
from services.core.domain.state import InfluencerStream
from tests.unit.samples import INFLUENCER_ID, ORGANIZATION_ID, PROJECT_ID, TRACEPARENT

Refusal = TypeVar("Refusal", bound=CommandRefused)


def given(*history: EventData) -> "Given":
    return Given(stream_of(*history))


def stream_of(*history: EventData) -> InfluencerStream:
    return fold(numbered(history))


def numbered(history: Iterable[EventData], start: int = 1) -> list[Event]:
    """`history` in envelopes that number it from `start`."""
    return [envelope(data, sequence) for sequence, data in enumerate(history, start)]


def envelope(data: EventData, sequence: int, subject: str = INFLUENCER_ID) -> Event:
    return Event(
        id=f"evt_{sequence:026d}",
        source="/services/api",
        subject=subject,
        time=time_of(sequence),
        sequence=sequence,
        organization_id=ORGANIZATION_ID,
        project_id=PROJECT_ID,
        correlation_id=f"req_{sequence:026d}",
        causation_id=f"req_{sequence:026d}",
        traceparent=TRACEPARENT,
        data=data,
    )


def time_of(sequence: int) -> str:
    """When the event of that sequence happens: a second per event."""
    return f"2026-11-23T{sequence // 3600:02d}:{sequence // 60 % 60:02d}:{sequence % 60:02d}.000Z"


@dataclass(frozen=True)
class Given:
    state: InfluencerStream

    def when(self, command: Command) -> "When":
        return When(self.state, command)


@dataclass(frozen=True)
class When:
    state: InfluencerStream
    command: Command

    def then(self, *expected: EventData) -> InfluencerStream:
        """The state after `expected`, which are the events decided on."""
        decided = decide(self.state, self.command)
        assert decided == expected
        state = self.state
        for event in numbered(decided, start=state.sequence + 1):
            state = evolve(state, event)
        return state

    def then_nothing(self) -> None:
        assert decide(self.state, self.command) == ()

    def then_refused(self, error: type[Refusal]) -> Refusal:
        """The refusal, for a look at what it says."""
        with pytest.raises(error) as refusal:
            decide(self.state, self.command)
        return refusal.value
