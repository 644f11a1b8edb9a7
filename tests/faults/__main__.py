"""`make chaos`: plays every scenario in its long form and prints what it came to.

    make chaos CHAOS="--faults 1000 --seed 7 --minutes 60"
    make chaos CHAOS="--only kills --seed 7"
    make chaos CHAOS="--soak 30"

A scenario is played in rounds, each from a seed of its own; the command that plays a round again is
printed. `--only` without `--faults` plays that scenario's share of a thousand. Ends with 1 when a
promise was broken, with 2 when time ran out before all was played.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from deploy.local.stack import Stack, local_stack
from tests.faults.report import show
from tests.faults.rounds import Round, rounds
from tests.faults.rules import broken
from tests.faults.scenario import Played, Scenario, play
from tests.faults.scenarios import SCENARIOS
from tests.faults.soak import soak
from tests.faults.verdict import Verdict

SCENARIO_LIMIT = 600.0
"""Seconds in which a round's scenario is through, so that one that hangs does not take all."""
ROUND_LIMIT = SCENARIO_LIMIT + 180.0


def main() -> int:
    options = _options()
    console = Console()
    if options.soak:
        return _soaked(options.soak, options.seed, console)
    possible = [one for one in SCENARIOS if _is_possible(one, console)]
    wanted = rounds(possible, options.seed, options.faults, only=options.only or ())
    deadline = time.monotonic() + options.minutes * 60
    played: list[tuple[Round, Played]] = []
    try:
        _play_all(wanted, deadline, played, console)
    finally:
        show(played, console)
    if any(one.verdict.violations for _, one in played):
        return 1
    return 2 if len(played) < len(wanted) else 0


def _is_possible(scenario: Scenario, console: Console) -> bool:
    reason = scenario.impossible()
    if reason:
        console.print(f"[yellow]{scenario.name} is left out[/]: {reason}")
    return not reason


def _play_all(
    wanted: Sequence[Round], deadline: float, played: list[tuple[Round, Played]], console: Console
) -> None:
    for number, one in enumerate(wanted, start=1):
        if time.monotonic() > deadline:
            console.print(f"[red]time is up[/]: {len(wanted) - len(played)} rounds not played")
            return
        console.print(f"{number}/{len(wanted)} {one.scenario.name}: {one.faults} faults")
        console.print(f"  {one.command}", soft_wrap=True, highlight=False)
        played.append((one, _played_alone(one)))
        _say(console, played[-1][1], deadline)


def _played_alone(one: Round) -> Played:
    """On a stack of its own. Whatever goes wrong is a violation, and not the end of the run."""
    began = time.monotonic()
    try:
        with _stack_for(one.scenario) as (stack, folder):
            return asyncio.run(_within_limit(one, stack, folder))
    except Exception as fault:
        told = "".join(traceback.format_exception(fault, limit=-3))
        failed = broken("scenario-failed", one.scenario.name, told)
        verdict = Verdict({}, 0, 0, 0, 0, [failed])
        return Played(one.scenario.name, one.seed, time.monotonic() - began, verdict)


async def _within_limit(one: Round, stack: Stack, folder: Path) -> Played:
    async with asyncio.timeout(ROUND_LIMIT):
        return await play(
            one.scenario,
            stack,
            folder,
            seed=one.seed,
            faults=one.faults,
            limit=SCENARIO_LIMIT,
        )


@contextmanager
def _stack_for(scenario: Scenario | None) -> Iterator[tuple[Stack, Path]]:
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postgres may run as another user
        made = (scenario and scenario.stack) or local_stack
        with made(folder / "stack") as stack:
            yield stack, folder / "run"


def _soaked(minutes: float, seed: int, console: Console) -> int:
    with _stack_for(None) as (stack, folder):
        violations = asyncio.run(
            soak(stack, folder, seconds=minutes * 60, seed=seed, tell=console.print)
        )
    for violation in violations:
        console.print(f"[red]{violation}[/]", soft_wrap=True)
    console.print(f"{minutes:g} minutes, {len(violations)} violations")
    return 1 if violations else 0


def _say(console: Console, one: Played, deadline: float) -> None:
    verdict = one.verdict
    left = max(0.0, deadline - time.monotonic()) / 60
    console.print(
        f"  {sum(verdict.faults.values())} faults, {verdict.accepted} accepted,"
        f" {len(verdict.violations)} violations, {one.seconds:.0f} s; {left:.0f} minutes left"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--faults", type=int)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", action="append", choices=sorted(one.name for one in SCENARIOS))
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
