"""`make load`: ten times too much, and a noisy neighbour, on a stack of its own; prints tables."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from deploy.local.stack import Stack, test_stack
from tests.bench.__main__ import fresh_system
from tests.faults.system import System
from tests.load.generator import Outcome
from tests.load.neighbours import NOISY_CONNECTIONS, another, median_ratio, neighbours, reading
from tests.load.overload import TIMES, creating, overloaded

OVERLOADED_FOR = 20.0
PAIRS = 5

console = Console()


async def run(stack: Stack, folder: Path) -> None:
    for measure in (_overload, _neighbours):
        async with fresh_system(stack, folder) as system:
            system.parts["api"].start()
            await system.parts["api"].until_ready()
            await measure(system)


async def _overload(system: System) -> None:
    seen = await overloaded(system, seconds=OVERLOADED_FOR, rounds=3)
    table = Table("", "202/s", "p50 ms", "p99 ms", "503/s", "p99 ms", "unsent", title="overload")
    _row(table, "alone", seen.before)
    for number, outcome in enumerate(seen.rounds, start=1):
        _row(table, f"{TIMES}x, round {number}", outcome)
    _row(table, "afterwards", seen.after)
    console.print(table)
    peaks = ", ".join(f"{peak:.0f}" for peak in seen.peaks)
    console.print(
        f"memory: {seen.memory_before:.0f} MiB before, at most {peaks} in the rounds;"
        f" promised and lost: {seen.lost}; done and not promised: {seen.unasked}"
    )


async def _neighbours(system: System) -> None:
    quiet = await another(system)
    noisy = creating(system, connections=NOISY_CONNECTIONS)
    offers = {"creates": (quiet, noisy), "reads": (reading(quiet), reading(noisy))}
    for name, (ours, theirs) in offers.items():
        pairs = await neighbours(ours, theirs, PAIRS)
        table = Table("", "/s", "p50 ms", "p99 ms", "503/s", "p99 ms", "unsent", title=name)
        for pair in pairs:
            _row(table, "alone", pair.alone)
            _row(table, "beside", pair.beside)
            _row(table, "the noisy one", pair.noisy)
        console.print(table)
        console.print(
            f"{name}: beside a noisy neighbour {median_ratio(pairs, 0.5):.2f} times the p50 and"
            f" {median_ratio(pairs, 0.99):.2f} times the p99 (medians of rounds; aim 2)"
        )


def _row(table: Table, name: str, outcome: Outcome) -> None:
    done = outcome.accepted
    cells = [f"{outcome.rate(done):.0f}", *_milliseconds(outcome, done, 0.5, 0.99)]
    cells += [f"{outcome.rate(503):.0f}", *_milliseconds(outcome, 503, 0.99)]
    table.add_row(name, *cells, str(outcome.unsent))


def _milliseconds(outcome: Outcome, status: int, *parts: float) -> list[str]:
    if not outcome.of(status):
        return ["" for _ in parts]
    return [f"{outcome.quantile(status, part) * 1e3:.1f}" for part in parts]


def main() -> None:
    with TemporaryDirectory() as name, test_stack(Path(name) / "stack") as stack:
        asyncio.run(run(stack, Path(name)))


if __name__ == "__main__":
    main()
