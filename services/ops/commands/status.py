"""`influencerctl status`."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.ops.connections import DEFAULT_PATIENCE
from services.ops.faults import ExitStatus
from services.ops.health import Part, parts
from services.ops.settings import operations_settings
from services.ops.terminal import JsonOption, TimeoutOption, answer_json, console, run

_COLORS = {"ok": "green", "wrong": "yellow", "down": "red"}


def status(
    max_lag: Annotated[int, typer.Option(min=0, help="More events behind than this is wrong.")] = (
        1000
    ),
    stuck_after: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="With events waiting and none folded for so long: wrong."
        ),
    ] = 30.0,
    timeout: TimeoutOption = DEFAULT_PATIENCE,
    json: JsonOption = False,
) -> None:
    """Show every part on one screen; status 3 when one is down, 1 when one is wrong.

    Example: influencerctl status --json
    """
    found = run(parts(operations_settings(), max_lag, stuck_after, timeout))
    outcome = _outcome(found)
    if json:
        answer_json({"status": outcome, "parts": {part.name: part.as_json() for part in found}})
    else:
        _show(found)
    if outcome != "ok":
        down = outcome == "down"
        wrong = ExitStatus.FOUND_SOMETHING_WRONG
        raise typer.Exit(int(ExitStatus.DEPENDENCY_DOWN if down else wrong))


def _outcome(found: list[Part]) -> str:
    states = {part.state for part in found}
    return next((state for state in ("down", "wrong") if state in states), "ok")


def _show(found: list[Part]) -> None:
    table = Table(box=None, show_header=False)
    for part in found:
        table.add_row(part.name, Text(part.state, style=_COLORS[part.state]), Text(part.says))
    console().print(table)
