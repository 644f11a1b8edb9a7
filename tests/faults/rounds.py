"""What `make chaos` plays, in which order: of every scenario something before more of any."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.scenario import Scenario, shares

FAULTS_A_ROUND = 40
ALL_FAULTS = 1000


@dataclass(frozen=True)
class Round:
    scenario: Scenario
    faults: int
    seed: int

    @property
    def command(self) -> str:
        """Plays this round again."""
        options = f"--only {self.scenario.name} --seed {self.seed} --faults {self.faults}"
        return f'make chaos CHAOS="{options}"'


def rounds(
    scenarios: Sequence[Scenario], seed: int, faults: int | None, *, only: Sequence[str] = ()
) -> list[Round]:
    """The first round of each, the second of each, and so on: when time runs out, all have had
    about the same part of theirs.

    Without `faults`, each plays its share of a thousand. A scenario's first round has `seed`.
    """
    chosen = [one for one in scenarios if not only or one.name in only]
    among = scenarios if faults is None else chosen
    placed: list[tuple[float, Round]] = []
    for scenario, share in shares(chosen, faults or ALL_FAULTS, among):
        whole = max(scenario.short, FAULTS_A_ROUND)
        begun = range(0, share, whole)
        placed += [
            (
                place / len(begun),
                Round(scenario, min(whole, share - first), seed + place),
            )
            for place, first in enumerate(begun)
        ]
    return [one for _, one in sorted(placed, key=lambda placed: placed[0])]
