"""What the suite asks of the subscriber that it drives."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Guarantee(StrEnum):
    """How often an effect may happen when the subscriber is killed or loses a partition."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


class NotConforming(Exception):
    """The subscriber does not do what the contract asks; the text says what, for its author."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One event that the subscriber has applied; `stream` is the Kafka key."""

    id: str
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the subscriber works: the same for all members of one group, kept over restarts.

    `instance` is a member's own lasting name, empty where it shall have none (Kafka's static
    membership). `state` is a folder for whatever it keeps in files, `effects` the file to which it
    appends a line of JSON for each event that it applied.
    """

    bootstrap_servers: str
    prefix: str
    group: str
    state: Path
    instance: str = ""

    @property
    def effects(self) -> Path:
        return self.state / "effects.jsonl"

    def environment(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.prefix,
            "SUBSCRIBER_GROUP": self.group,
            "SUBSCRIBER_INSTANCE": self.instance,
            "SUBSCRIBER_STATE": str(self.state),
            "SUBSCRIBER_EFFECTS": str(self.effects),
        }


class Member(Protocol):
    """One running subscriber."""

    @property
    def ended(self) -> str | None:
        """How it ended if it did so by itself; None while it runs."""
        ...

    async def stop(self) -> None:
        """Asks it to end, and waits for that. Raises NotConforming when it doesn't."""
        ...

    async def kill(self) -> None:
        """Ends it at once: nothing of it may run on."""
        ...


class UnderTest(Protocol):
    async def start(self, surroundings: Surroundings) -> Member: ...

    async def effects(self, surroundings: Surroundings) -> Sequence[Effect]:
        """Everything that was applied so far, in order. Raises NotConforming if unreadable."""
        ...


def parse_effects(lines: Iterable[str]) -> list[Effect]:
    """Raises NotConforming for a line that is not an effect."""
    return [_parse(line) for line in lines if line.strip()]


def _parse(line: str) -> Effect:
    try:
        fields = json.loads(line)
        return Effect(str(fields["id"]), str(fields["stream"]), int(fields["sequence"]))
    except (ValueError, KeyError, TypeError) as fault:
        raise NotConforming(
            f'not an effect like {{"id": "evt_…", "stream": "…", "sequence": 1}}: {line!r}'
        ) from fault
