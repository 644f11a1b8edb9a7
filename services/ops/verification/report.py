"""What a run of `verify` has found, put together from all its processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.core.readmodel.repeats import REPEATED
from services.ops.verification.differences import Damage, Difference, Hash, joined
from services.ops.verification.store import QuarantinedRecord


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stream of which events are in the outbox and not on the log yet."""

    key: str
    first_sequence: int
    events: int

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key, "firstSequence": self.first_sequence, "events": self.events}


@dataclass(slots=True)
class Report:
    """`folded` are events up to the position; `later` those on the log behind it,
    `skipped` the records that operators have given up.

    No more than a limit of each kind is named; `difference_counts` counts all, by model. `memory`
    is what the largest of the processes that fold had at most, in bytes.
    """

    limit: int
    folded: int = 0
    later: int = 0
    skipped: int = 0
    compared: int = 0
    memory: int = 0
    fold_seconds: float = 0.0
    compare_seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    difference_counts: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, Hash] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    damage_count: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    waiting_events: int = 0
    _damaged: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        return not any(self.difference_counts.values()) and not self.damage_count

    def count_difference(self, found: Difference) -> None:
        counted = self.difference_counts.get(found.model, 0)
        self.difference_counts[found.model] = counted + 1
        if counted < self.limit:
            self.differences.append(found)

    def count_damage(self, record: QuarantinedRecord) -> None:
        """Takes in a record of the log that can't be folded, those of a stream in their order.

        What follows the first one of its stream can't be folded because of it.
        """
        stream = record.topic, record.key
        if record.reason == REPEATED or stream not in self._damaged:
            self.damage_count += 1
            if len(self.damages) < self.limit:
                self._damaged.setdefault(stream, len(self.damages))
                self.damages.append(Damage(*record))
            return
        place = self._damaged[stream]
        followed_by = self.damages[place].followed_by + 1
        self.damages[place] = replace(self.damages[place], followed_by=followed_by)

    def count_waiting(self, waiting: Waiting) -> None:
        self.waiting_events += waiting.events
        if len(self.waiting) < self.limit:
            self.waiting.append(waiting)

    def take(self, said: Mapping[str, Any]) -> None:
        """What a process that compares has found in its range."""
        self.differences += map(Difference.of_json, said["differences"])
        for model, count in said["counts"].items():
            self.difference_counts[model] = self.difference_counts.get(model, 0) + count
        for model, read in said["hashes"].items():
            self.hashes.setdefault(model, Hash()).merge(Hash.of_json(read))
        self.damages += (Damage.of_json(read) for read in said["damages"])
        self.damage_count += len(said["damages"])

    def join(self) -> None:
        """Makes one of what two processes have said about the same row."""
        found = joined(self.differences)
        for model in {each.model for each in self.differences}:
            before = sum(each.model == model for each in self.differences)
            after = sum(each.model == model for each in found)
            self.difference_counts[model] -= before - after
        self.differences = sorted(found, key=lambda each: (each.model, each.key))

    def as_json(self) -> dict[str, Any]:
        return {
            "sound": self.is_sound,
            "folded": self.folded,
            "later": self.later,
            "skipped": self.skipped,
            "compared": self.compared,
            "foldSeconds": round(self.fold_seconds, 3),
            "compareSeconds": round(self.compare_seconds, 3),
            "memoryBytes": self.memory,
            "hashes": {model: self.hashes[model].as_json() for model in sorted(self.hashes)},
            "differenceCounts": dict(sorted(self.difference_counts.items())),
            "differences": [each.told() for each in self.differences],
            "damageCount": self.damage_count,
            "damages": [each.as_json() for each in self.damages],
            "waitingEvents": self.waiting_events,
            "waiting": [each.as_json() for each in self.waiting],
        }
