"""What was tried and what it came to, as a table."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.faults.rounds import Round
from tests.faults.scenario import Played

SHOWN = 20


def show(played: Sequence[tuple[Round, Played]], console: Console) -> None:
    table = Table(title="Faults tried, operations done, violations found")
    for heading in ("scenario", "seed", "faults", "requests", "accepted", "reads", "s"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    table.add_column("violations", justify="right", style="bold")
    for _, one in played:
        table.add_row(one.scenario, str(one.seed), *_figures([one]))
    table.add_section()
    table.add_row("all", "", *_figures([one for _, one in played]))
    console.print(table)
    kinds = sum((Counter(one.verdict.faults) for _, one in played), Counter[str]())
    console.print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    for asked, one in played:
        if one.verdict.violations:
            console.print(f"[red]{one.scenario}[/]: {escape(asked.command)}", soft_wrap=True)
        for violation in one.verdict.violations[:SHOWN]:
            console.print(f"  {escape(violation)}", soft_wrap=True)


def _figures(played: Sequence[Played]) -> list[str]:
    verdicts = [one.verdict for one in played]
    return [
        f"{sum(sum(verdict.faults.values()) for verdict in verdicts):,}",
        f"{sum(verdict.asked for verdict in verdicts):,}",
        f"{sum(verdict.accepted for verdict in verdicts):,}",
        f"{sum(verdict.reads for verdict in verdicts):,}",
        f"{sum(one.seconds for one in played):,.0f}",
        f"{sum(len(verdict.violations) for verdict in verdicts):,}",
    ]
