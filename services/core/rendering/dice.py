"""Choices that follow from an influencer's id: as good as random, and the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

Option = TypeVar("Option")


@dataclass(frozen=True, slots=True)
class Dice:
    """Throws that depend on `seed` and on what they are for, and on nothing else.

    Python's own generators may change between versions; a hash doesn't.
    """

    seed: str

    def fraction(self, purpose: str) -> float:
        """Return a number from 0 up to (not including) 1."""
        text = f"{self.seed}\n{purpose}".encode("utf-8", "surrogatepass")
        return int.from_bytes(sha256(text).digest()[:6], "big") / 2**48

    def pick(self, purpose: str, options: Sequence[Option]) -> Option:
        """Return one of `options`, each as likely as the other."""
        return options[int(self.fraction(purpose) * len(options))]

    def between(self, purpose: str, low: float, high: float) -> float:
        """Return a number from `low` to `high`, with two decimals."""
        return round(low + (high - low) * self.fraction(purpose), 2)

    def chance(self, purpose: str, probability: float) -> bool:
        """Return True in `probability` of all cases."""
        return self.fraction(purpose) < probability
