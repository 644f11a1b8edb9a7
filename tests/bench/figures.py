"""What was measured beside what is aimed at; a run that misses an aim ends with a fault."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """`aim` is the most it may be, or where `more_is_better` the least."""

    name: str
    measured: float
    aim: float
    unit: str = ""
    more_is_better: bool = False

    @property
    def is_held(self) -> bool:
        if self.more_is_better:
            return self.measured >= self.aim
        return self.measured <= self.aim


@dataclass(slots=True)
class Figures:
    """All figures of a run that have an aim."""

    measured: list[Figure] = field(default_factory=list)

    def at_least(self, name: str, measured: float, aim: float, unit: str = "") -> None:
        self.measured.append(Figure(name, measured, aim, unit, more_is_better=True))

    def at_most(self, name: str, measured: float, aim: float, unit: str = "") -> None:
        self.measured.append(Figure(name, measured, aim, unit))

    @property
    def missed(self) -> list[str]:
        return [figure.name for figure in self.measured if not figure.is_held]

    def table(self) -> Table:
        table = Table("figure", "aim", "measured", "held", title="aims")
        for figure in self.measured:
            table.add_row(*_row(figure))
        return table


def _row(figure: Figure) -> Iterable[str]:
    bound = "≥" if figure.more_is_better else "≤"
    unit = f" {figure.unit}" if figure.unit else ""
    yield figure.name
    yield f"{bound} {figure.aim:g}{unit}"
    yield f"{figure.measured:.3g}{unit}"
    yield "yes" if figure.is_held else "NO"
