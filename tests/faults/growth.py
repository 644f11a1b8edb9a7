"""Whether what a process holds keeps growing while it does the same all the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WARM_UP = 0.25
"""Of all samples, the share in which pools fill and caches are made."""
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Allowance:
    """How much more the last third may have than the first: so much, and such a share of it."""

    absolute: float
    share: float

    def over(self, value: float) -> float:
        return value + self.absolute + value * self.share


ALLOWANCES = {
    "memory": Allowance(8 * MEBIBYTE, 0.1),
    "files": Allowance(8, 0.1),
    "tasks": Allowance(10, 0.1),
}


@dataclass(frozen=True)
class Growth:
    """From the median of the first third after the warm-up to that of the last."""

    first: float
    last: float

    @staticmethod
    def of(samples: Sequence[float]) -> "Growth":
        warm = samples[int(len(samples) * WARM_UP) :]
        third = max(1, len(warm) // 3)
        return Growth(median(warm[:third]), median(warm[-third:]))

    def exceeds(self, allowance: Allowance) -> bool:
        return self.last > allowance.over(self.first)
