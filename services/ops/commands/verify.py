"""`influencerctl verify`."""

import os
from typing import Annotated, Any

import orjson
import typer

from services.core.replay.processes import WorkerFailed
from services.ops.faults import CommandFault, ExitStatus
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import JsonOption, answer_json, run, say
from services.ops.verification.differences import Difference
from services.ops.verification.report import Report
from services.ops.verification.verify import Options
from services.ops.verification.verify import verify as verify_installation

LONGEST_VALUE = 60
MEBIBYTE = 1024 * 1024


def verify(
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes to fold and compare with.")
    ] = min(4, os.cpu_count() or 1),
    memory: Annotated[
        int, typer.Option(metavar="MIB", min=160, help="Each of them takes about so much memory.")
    ] = 512,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Name so many differences of each model.")
    ] = 1000,
    json: JsonOption = False,
) -> None:
    """Fold the log again, and compare streams and read models with it, row by row.

    As of the position that the read models record, each row at the sequence that it carries: so it
    may run beside everything else. Every row that differs is named, with its fields, and every
    record of the log that can't be folded. What waits in the outbox is listed apart; it is no
    fault. Status 1 when anything differs. Takes room in TMPDIR, about as much as the log.

    Example: influencerctl verify --workers 2
    """
    options = Options(workers, memory * MEBIBYTE, limit)
    report = run(_verify(operations_settings(), options))
    if json:
        answer_json(report.as_json())
    else:
        _show(report)
    if not report.is_sound:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


async def _verify(settings: OperationsSettings, options: Options) -> Report:
    try:
        return await verify_installation(settings, options)
    except WorkerFailed as fault:
        raise CommandFault(str(fault)) from fault


def _show(report: Report) -> None:
    for damage in report.damages:
        say(f"log         {damage.topic}/{damage.partition}/{damage.offset} {damage.key}")
        follow = f"; {damage.followed_by:,} follow it" if damage.followed_by else ""
        say(f"              {damage.reason}{follow}")
    for each in report.differences:
        show_difference(each)
    for model, count in sorted(report.difference_counts.items()):
        named = sum(each.model == model for each in report.differences)
        if count > named:
            say(f"{model}: {count - named:,} more; --limit names more")
    if report.waiting_events:
        say(f"{report.waiting_events:,} events wait in the outbox:")
        for waiting in report.waiting:
            say(f"  {waiting.key} {waiting.events:,} from sequence {waiting.first_sequence}")
    for model, found in sorted(report.hashes.items()):
        same = "=" if found.log == found.database else "≠"
        say(
            f"{model:<25} {found.rows:>12,} rows  log {found.log:016x} {same} {found.database:016x}"
        )
    if report.skipped:
        say(f"{report.skipped:,} records were skipped; `quarantine list --skipped` shows them")
    seconds = report.fold_seconds + report.compare_seconds
    rate = f"{report.folded / seconds:,.0f} events/s" if seconds else ""
    say(f"{report.folded:,} events up to the positions, {report.later:,} behind them; {rate}")
    say("sound" if report.is_sound else _summary(report))


def show_difference(each: Difference, *, err: bool = False) -> None:
    said = {"missing": "is missing", "unexpected": "is not in the log"}.get(each.kind, "")
    say(f"{each.model:<25} {each.key} {said}", err=err)
    if each.kind == "differs":
        for named in each.fields:
            values = f"has {_value(named.database)}, the log says {_value(named.log)}"
            say(f"  {named.field}: {values}", err=err)


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _summary(report: Report) -> str:
    differences = sum(report.difference_counts.values())
    return f"{differences:,} rows differ, {report.damage_count:,} records can't be folded"
