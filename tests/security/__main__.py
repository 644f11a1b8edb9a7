"""`make security`: runs every attack that SECURITY.md names, and prints what got through.

    python -m tests.security --only API4

An attack is a case of a test; a violation is one that did not end as it must. Ends with 1 when
there is a violation.
"""

import argparse
import sys
from collections import Counter, defaultdict

import pytest
from rich.console import Console
from rich.table import Table

from tests.security.table import Item, items


class Outcomes:
    """What pytest says of each test: its worst outcome, and the seconds it took."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed or self.of.get(report.nodeid) not in ("failed", "skipped"):
            self.of[report.nodeid] = report.outcome

    def of_item(self, item: Item) -> dict[str, str]:
        return {node_id: outcome for node_id, outcome in self.of.items() if item.has(node_id)}


def main() -> int:
    options = _options()
    chosen = [item for item in items() if not options.only or item.number in options.only]
    outcomes = Outcomes()
    named = list(dict.fromkeys(test for item in chosen for test in item.tests))
    status = pytest.main([*named, "--no-header"], plugins=[outcomes])
    show(chosen, outcomes, Console())
    return int(status != pytest.ExitCode.OK or not outcomes.of)


def show(chosen: list[Item], outcomes: Outcomes, console: Console) -> None:
    table = Table(title="OWASP API Security Top 10 (2023)")
    for heading in ("item", "attacks", "held", "left out", "violations", "s"):
        table.add_column(heading, justify="left" if heading == "item" else "right")
    for item in chosen:
        table.add_row(f"{item.number} {item.name}", *_figures(outcomes.of_item(item), outcomes))
    table.add_section()
    table.add_row("all", *_figures(outcomes.of, outcomes))
    console.print(table)
    for node_id, outcome in outcomes.of.items():
        if outcome == "failed":
            console.print(f"violation: {node_id}", style="red", markup=False, soft_wrap=True)


def _figures(of: dict[str, str], outcomes: Outcomes) -> list[str]:
    counted = Counter(of.values())
    seconds = sum(outcomes.seconds[node_id] for node_id in of)
    figures = (len(of), counted["passed"], counted["skipped"], counted["failed"], seconds)
    return [f"{figure:,.0f}" for figure in figures]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make security", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=[item.number for item in items()])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
