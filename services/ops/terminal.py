"""How commands run and speak: one clear line for a fault, JSON or tables for an answer."""

import asyncio
import sys
import threading
from collections.abc import Collection, Coroutine
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import Annotated, Any, TypeVar

import click
import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup
from typer.models import Default

from services.core.errors import DependencyUnavailable
from services.ops.activity import activity, hidden
from services.ops.faults import CommandFault, ExitStatus

JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
TimeoutOption = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="Give up after so long in total.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

WIDTH_WITHOUT_TERMINAL = 200

Result = TypeVar("Result")


class FaultTellingGroup(TyperGroup):
    """The whole program: a fault of any command becomes one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandFault as fault:
            raise _ended(str(fault), fault.status) from None
        except DependencyUnavailable as fault:
            raise _ended(str(fault), ExitStatus.DEPENDENCY_DOWN) from None


def application(help_text: str | None = Default(None)) -> typer.Typer:
    """A command group: shows its help when called bare. Without a text, its callback has one."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode="rich", cls=FaultTellingGroup
    )


def console() -> Console:
    """Standard output; wide enough for whole rows where there is no terminal to fit into."""
    return Console(
        width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        soft_wrap=not sys.stdout.isatty(),
    )


def run(command: Coroutine[Any, Any, Result], *, follows: bool = False) -> Result:
    """Runs `command` to its end; Ctrl-C ends it quietly.

    A terminal shows that it is at work, unless it only `follows` what others do.
    """
    context = click.get_current_context(silent=True)
    name = context.command_path.partition(" ")[2] if context else ""
    try:
        with nullcontext() if follows else activity(name):
            return asyncio.run(command)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def say(line: str, *, err: bool = False) -> None:
    out = Console(stderr=True, soft_wrap=True, highlight=False) if err else console()
    with hidden():
        out.print(line, markup=False)


def answer_json(value: object) -> None:
    typer.echo(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())


def json_line(value: object) -> None:
    typer.echo(orjson.dumps(value, default=str).decode())


def show(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    *,
    title: str | None = None,
    whole: Collection[str] = (),
) -> None:
    """A table; `columns` maps a row's key to its heading; `whole` are never broken into lines."""
    console().print(table(rows, columns, title=title, whole=whole))


def table(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    *,
    title: str | None = None,
    whole: Collection[str] = (),
) -> Table:
    """What `show` prints; a cell may be a Text with a style."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for key, heading in columns.items():
        made.add_column(heading, overflow="fold", no_wrap=key in whole)
    for row in rows:
        made.add_row(*(_cell(row.get(key)) for key in columns))
    return made


def confirm(question: str, yes: bool) -> None:
    """Goes on when `yes`, or when the operator says so; else the command ends with status 1."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def confirm_addition(question: str, yes: bool) -> None:
    """For what only adds, or may be repeated: a script, which can't answer, needn't say --yes."""
    confirm(question, yes or not sys.stdin.isatty())


async def asked(question: str) -> bool:
    """Asks while everything else goes on, such as what tells others that we are there.

    In a thread that nobody waits for: who answers with Ctrl-C would otherwise wait for Enter.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(result: Future[bool]) -> None:
        fault = result.exception()
        if answer.done():
            return
        if fault:
            answer.set_exception(fault)
        else:
            answer.set_result(result.result())

    def ask() -> None:
        result: Future[bool] = Future()
        try:
            result.set_result(typer.confirm(question, err=True))
        except BaseException as fault:
            result.set_exception(fault)
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    with hidden():
        threading.Thread(target=ask, daemon=True).start()
        return await answer


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, (list, tuple)):
        return Text(", ".join(str(part) for part in value))
    return Text(str(value))


def complain(line: str) -> None:
    """What is wrong, on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(line, style="red", markup=False)


def _ended(line: str, status: ExitStatus) -> typer.Exit:
    complain(line)
    return typer.Exit(int(status))
