"""The checker as a program: `influencerctl check-log`, or `python -m services.ops.checker`."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.ops.activity import activity
from services.ops.checker.check import Report, check
from services.ops.checker.facts import Allowances, DatabaseContents, LogContents
from services.ops.checker.journal import JournalUnreadable, read_journal
from services.ops.checker.sources import SourceUnavailable, read_database, read_log

SHOWN_PER_RULE = 5
WIDTH_WITHOUT_TERMINAL = 200
FOUND_VIOLATIONS = 1
WRONG_USAGE = 2
DEPENDENCY_DOWN = 3


def check_log(
    kafka: Annotated[
        str, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS", help="host:port, by commas.")
    ],
    database: Annotated[
        str | None,
        typer.Option(envvar="DATABASE_URL", show_envvar=True, help="Compare it too, if set."),
    ] = None,
    prefix: Annotated[str, typer.Option(envvar="KAFKA_TOPIC_PREFIX")] = "",
    journal: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON Lines of answers.")
    ] = None,
    complete_journal: Annotated[
        bool, typer.Option(help="The journal names every request there was.")
    ] = False,
    media_folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="The object store's folder.")
    ] = None,
    allow_running: Annotated[bool, typer.Option(help="Jobs may still be running.")] = False,
    allow_waiting: Annotated[bool, typer.Option(help="The outbox need not be empty.")] = False,
    allow_lag: Annotated[bool, typer.Option(help="The projector may be behind.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")] = False,
) -> None:
    """Read the whole log and say every promise that it, or the database, breaks.

    Example: influencerctl check-log --allow-running --media-folder .local/media
    """
    allowed = Allowances(allow_running, allow_waiting, allow_lag)
    try:
        answers = read_journal(journal, complete_journal) if journal else None
        with _no_collections(), activity("check-log"):
            log, contents = asyncio.run(_read(kafka, database, prefix))
            report = check(log, contents, answers, media_folder, allowed)
    except JournalUnreadable as fault:
        raise _ended(str(fault), WRONG_USAGE) from None
    except SourceUnavailable as fault:
        raise _ended(str(fault), DEPENDENCY_DOWN) from None
    if json:
        typer.echo(orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(report)
    if not report.is_sound:
        raise typer.Exit(FOUND_VIOLATIONS)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Millions of objects and hardly a cycle: looking for some takes longer than the check."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


async def _read(
    kafka: str, database: str | None, prefix: str
) -> tuple[LogContents, DatabaseContents | None]:
    """The database first: what it holds by then is in the outbox, or on the log that follows."""
    contents = await read_database(database, prefix) if database else None
    return await read_log(kafka, prefix), contents


def as_json(report: Report) -> dict[str, object]:
    return {
        "sound": report.is_sound,
        "checked": list(report.checked),
        "records": report.records,
        "streams": report.streams,
        "jobs": report.jobs,
        "rulesBroken": dict(report.rules_broken),
        "violations": [asdict(violation) for violation in report.violations],
    }


def _show(report: Report) -> None:
    console = Console(
        highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    )
    console.print(
        f"{report.records} records, {report.streams} streams, {report.jobs} jobs;"
        f" checked: {', '.join(report.checked)}"
    )
    if report.is_sound:
        console.print("[green]sound[/]: every promise holds")
        return
    table = Table(header_style="bold")
    for heading in ("Rule", "Broken", "Where", "What"):
        table.add_column(heading, overflow="fold")
    for rule, count in sorted(report.rules_broken.items()):
        examples = [v for v in report.violations if v.rule == rule][:SHOWN_PER_RULE]
        for position, violation in enumerate(examples):
            place = (
                ""
                if violation.partition is None
                else f" {violation.topic}/{violation.partition}:{violation.offset}"
            )
            table.add_row(
                rule if position == 0 else "",
                str(count) if position == 0 else "",
                escape(violation.key + place),
                escape(violation.detail),
            )
    console.print(table)
    console.print(f"[red]{len(report.violations)} violations[/]; --json lists all of them")


def _ended(line: str, status: int) -> typer.Exit:
    typer.echo(line, err=True)
    return typer.Exit(status)
