"""An aim that is missed is told, and only that."""

import pytest

from tests.bench.figures import Figures


@pytest.mark.parametrize(
    ("measured", "is_held"), [(0.69, False), (0.7, True), (5.0, True), (float("nan"), False)]
)
def test_at_least(measured: float, is_held: bool) -> None:
    figures = Figures()
    figures.at_least("reads", measured, 0.7)
    assert figures.missed == ([] if is_held else ["reads"])


@pytest.mark.parametrize(("measured", "is_held"), [(1.5, True), (1.51, False)])
def test_at_most(measured: float, is_held: bool) -> None:
    figures = Figures()
    figures.at_least("held", 1, 1)
    figures.at_most("pages", measured, 1.5, "times")
    assert figures.missed == ([] if is_held else ["pages"])
    assert figures.table().row_count == 2
