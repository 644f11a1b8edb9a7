"""Chance from a seed: each part has its own, so that what runs at once shares none."""

import random
from uuid import UUID

from schemas.ids import Prefix, parse_identifier


def chance_for(seed: int, part: str) -> random.Random:
    """The same for the same seed and part, in every process."""
    return random.Random(f"{seed}/{part}")


class SeededIds:
    """Ids that follow from a chance: which partition, and which mood of a backend, is by the id."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def new(self, prefix: Prefix) -> str:
        return parse_identifier(prefix, str(UUID(int=self._chance.getrandbits(128))))
