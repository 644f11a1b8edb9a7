"""`influencerctl history`."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from services.core.clock import system_clock
from services.ops.durations import read_moment
from services.ops.event_table import color_of
from services.ops.faults import ExitStatus, OperatorMistake
from services.ops.history import At, Change, History, Step, differences, read_history
from services.ops.options import OptionalOrganizationOption, complete_streams, stream_identifier
from services.ops.settings import operations_settings
from services.ops.terminal import JsonOption, answer_json, complain, console, run

MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def history(
    stream: Annotated[
        str,
        typer.Argument(
            metavar="INFLUENCER",
            help="inf_…, ULID or UUID; or cnt_… or ast_… in full.",
            autocompletion=complete_streams,
        ),
    ],
    at: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="As of a sequence, a time, or a duration ago: 7, 10m."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="What each event changed.")] = False,
    organization: OptionalOrganizationOption = None,
    json: JsonOption = False,
) -> None:
    """Show an influencer as it is, or was at a time, and its events: from the log alone.

    Also for media assets and content. Status 1 when it isn't there, or the log can't be folded to
    its end. --json holds the changes in any case.

    Example: influencerctl history inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --at 2026-11-23T09:15:00Z

    Example: influencerctl history inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --at 7 --diff
    """
    stream_id = stream_identifier(stream)
    moment = _at(at)
    whole = run(read_history(operations_settings(), stream_id, organization))
    told = whole.until(moment) if whole.steps else whole
    if json:
        answer_json(_as_json(told, whole))
    else:
        _show(told, whole, diff)
    if told.fault:
        complain(f"the log can't be folded further: {told.fault}")
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


def _at(text: str | None) -> At:
    if text is None:
        return None
    if text.isdecimal() and len(text) < 8:
        if int(text) < 1:
            raise OperatorMistake("a sequence begins at 1")
        return int(text)
    return read_moment(text, system_clock())


def _as_json(told: History, whole: History) -> dict[str, Any]:
    return {
        "organizationId": told.address.organization_id,
        "streamId": told.address.stream_id,
        "topic": told.topic,
        "sequence": told.sequence,
        "lastSequence": whole.sequence,
        "state": told.state if told.steps else None,
        "events": [step.as_json() for step in told.steps],
        "fault": told.fault,
    }


def _show(told: History, whole: History, diff: bool) -> None:
    out = console()
    out.print(Text(told.address.stream_id, "bold"))
    out.print(Text(f"organization {told.address.organization_id}", "dim"))
    if not told.steps:
        return
    time = told.steps[-1].time
    place = f"{told.topic} {told.steps[0].partition}"
    out.print(Text(f"as of #{told.sequence} of {whole.sequence}, {time}, on {place}", "dim"))
    if not diff:
        out.print()
        _show_fields(out, told.state)
    out.print()
    for step in told.steps:
        _show_step(out, step, diff)


def _show_fields(out: Console, state: dict[str, Any]) -> None:
    fields = list(differences({}, state))
    width = max((len(field.path) for field in fields), default=0)
    for field in fields:
        line = Text(f"  {field.path:<{width}}  ", style="dim")
        out.print(line.append(_short(field.after), style="default"), **_ONE_LINE)


def _show_step(out: Console, step: Step, diff: bool) -> None:
    line = Text(f"#{step.sequence:<4} ")
    line.append(f"{step.type or '(unreadable)':<25} ", style=color_of(step.type))
    line.append(f"{step.time}  {step.id}", style="dim")
    if step.note:
        line.append(f"  {step.note}", style="yellow")
    out.print(line, **_ONE_LINE)
    if diff:
        for mark, color, words in _told(step.changes):
            out.print(Text(f"      {mark} {words}", style=color), **_ONE_LINE)


def _told(changes: Sequence[Change]) -> Iterator[tuple[str, str, str]]:
    for change in changes:
        if change.before is None:
            yield *MARKS["added"], f"{change.path}  {_short(change.after)}"
        elif change.after is None:
            yield *MARKS["removed"], f"{change.path}  {_short(change.before)}"
        else:
            both = f"{_short(change.before)} → {_short(change.after)}"
            yield *MARKS["changed"], f"{change.path}  {both}"


def _short(value: Any) -> str:
    match value:
        case str():
            return value
        case [int(index), {"assetId": _} as image]:
            return f"{index}: {_short(image)}"
        case {"assetId": asset_id, "source": source, "width": width, "height": height}:
            view = value.get("view") or ""
            return f"{asset_id} {source} {view} {width}×{height}"
    return orjson.dumps(value).decode()


_ONE_LINE: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
