"""`influencerctl rebuild`."""

import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Annotated, Any, TypeVar

import typer

from services.core.readmodel.positions import PositionMoved
from services.core.readmodel.rebuild import rebuild as engine
from services.core.readmodel.rebuild.comparing import Comparison, Difference
from services.core.readmodel.rebuild.filling import Filled, Sources
from services.core.readmodel.rebuild.merging import QuarantineNotEmpty
from services.core.readmodel.rebuild.models import REBUILDABLE
from services.core.readmodel.rebuild.rebuild import (
    AnotherUnderWay,
    NothingToRollBackTo,
    Options,
    Outcome,
    Rebuilding,
)
from services.core.readmodel.rebuild.record import RebuildUnderWay, Recorded, last_recorded
from services.core.readmodel.rebuild.shadow import SchemaNotCloneable, exists
from services.core.readmodel.rebuild.swapping import SwapImpossible, TablesChanged
from services.core.readmodel.schema import PREVIOUS
from services.core.replay.processes import WorkerFailed
from services.core.replay.reading import LogIncomplete
from services.ops.activity import name_phase
from services.ops.connections import database
from services.ops.faults import CommandFault, ExitStatus, OperatorMistake
from services.ops.progress import Meter
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    asked,
    confirm,
    run,
    say,
)

rebuild_application = application()

Result = TypeVar("Result")

FAULTS = (
    LogIncomplete,
    NothingToRollBackTo,
    PositionMoved,
    QuarantineNotEmpty,
    RebuildUnderWay,
    SchemaNotCloneable,
    SwapImpossible,
    TablesChanged,
    WorkerFailed,
)
MOST_WORKERS = 64
UNFINISHED = ("interrupted", "compared")


def _known_model(name: str | None) -> str | None:
    if name is not None and name not in REBUILDABLE:
        raise typer.BadParameter(f"the models are {', '.join(REBUILDABLE)}")
    return name


def _complete_model(incomplete: str) -> list[str]:
    return [model for model in REBUILDABLE if model.startswith(incomplete)]


@rebuild_application.callback(invoke_without_command=True, no_args_is_help=False)
def rebuild(
    context: typer.Context,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes that fold the log.")
    ] = min(4, os.cpu_count() or 1),
    memory: Annotated[
        int, typer.Option(min=128, metavar="MIB", help="What one of them may use, about.")
    ] = 512,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            callback=_known_model,
            autocompletion=_complete_model,
            help=f"Only this one, the others as they are: {', '.join(REBUILDABLE)}.",
        ),
    ] = None,
    accept_differences: Annotated[
        bool, typer.Option(help="Swap although they differ; what differs is listed first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Name so many differences.")] = 100,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Build the read models anew beside the live ones, compare, and swap if they are equal.

    Nothing stops meanwhile, and no reader sees older data. Status 1 when they differ: then the
    live ones stay, and what was built is kept for --accept-differences. Killed or interrupted, it
    goes on where it was when it is called again. --dry-run ends after the comparison; what an
    interrupted rebuild has built stays then.

    Example: influencerctl rebuild --workers 4 --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    settings = operations_settings()
    if not dry_run:
        what = f"the read model {only}" if only else "the read models"
        confirm(f"Rebuild {what} from the log, and put them in the place of the live ones?", yes)
    shown = _Shown(accept_differences, yes, quiet=json)
    options = Options(workers, memory, only, dry_run, limit)
    outcome = run(_rebuild(settings, options, shown))
    if json:
        answer_json(_outcome_json(outcome))
    else:
        _show(outcome, shown)
    if outcome.phase == "different":
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


@rebuild_application.command("rollback")
def rollback(
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes, if there is much to catch up.")
    ] = min(4, os.cpu_count() or 1),
    memory: Annotated[
        int, typer.Option(min=128, metavar="MIB", help="What one of them may use, about.")
    ] = 512,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Put the previous read models back, caught up with the log; the live ones become previous.

    Example: influencerctl rebuild rollback --yes
    """
    settings = operations_settings()
    shown = _Shown(False, yes, quiet=json)
    if dry_run:
        behind = run(_offsets_to_roll_back(settings, shown))
        if json:
            return answer_json({"dryRun": True, "offsetsBehind": behind})
        return say(f"would put the previous read models back, after {behind:,} offsets of the log")
    confirm("Put the read models from before the last rebuild back?", yes)
    outcome = run(_roll_back(settings, Options(workers, memory), shown))
    if json:
        return answer_json(_outcome_json(outcome))
    return say(f"the previous read models are live again; writers waited {_ms(outcome.held_up)}")


@rebuild_application.command("status")
def status(json: JsonOption = False) -> None:
    """Show the last rebuild or rollback, whether it runs, and how far it is.

    Status 1 when it was interrupted, or has found differences and waits for a decision.

    Example: influencerctl rebuild status --json
    """
    recorded, has_previous = run(_look(operations_settings()))
    if json:
        last = recorded.as_json() if recorded else None
        answer_json({"last": last, "canRollBack": has_previous})
    else:
        say(_told(recorded) if recorded else "there was no rebuild yet")
        if has_previous:
            say("the read models from before are kept: `influencerctl rebuild rollback`")
    if recorded and recorded.state in UNFINISHED:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


@rebuild_application.command("abort")
def abort(dry_run: DryRunOption = False, yes: YesOption = False, json: JsonOption = False) -> None:
    """Drop what an interrupted rebuild has built; the live read models stay as they are.

    Example: influencerctl rebuild abort --yes
    """
    settings = operations_settings()
    if dry_run:
        last, _ = run(_look(settings))
        aborted = last if last and last.state in UNFINISHED else None
    else:
        confirm("Drop what the interrupted rebuild has built?", yes)
        aborted = run(_with_faults(settings, engine.abort(settings.database)))
    if json:
        return answer_json({"aborted": aborted.as_json() if aborted else None, "dryRun": dry_run})
    verb = "would abort" if dry_run else "aborted"
    return say(f"{verb} the {aborted.kind}" if aborted else "nothing is interrupted")


@rebuild_application.command("drop-previous")
def drop_previous(
    dry_run: DryRunOption = False, yes: YesOption = False, json: JsonOption = False
) -> None:
    """Drop the read models from before the last rebuild; there is no rollback then.

    Example: influencerctl rebuild drop-previous --yes
    """
    settings = operations_settings()
    if dry_run:
        _, dropped = run(_look(settings))
    else:
        confirm("Drop the previous read models?", yes)
        dropped = run(_with_faults(settings, engine.drop_previous(settings.database)))
    if json:
        return answer_json({"dropped": dropped, "dryRun": dry_run})
    verb = "would drop" if dry_run else "dropped"
    return say(f"{verb} the previous read models" if dropped else "there are none")


class _Shown:
    """Shows progress on stderr, and differences before they are accepted."""

    def __init__(self, accept_differences: bool, yes: bool, *, quiet: bool) -> None:
        self._accept_differences = accept_differences
        self._yes = yes
        self._quiet = quiet
        self._meter: Meter | None = None
        self._events = 0
        self._begun = monotonic()
        self.has_listed = False

    def entered(self, phase: str, offsets: int) -> None:
        self.end()
        name_phase(f"rebuild: {phase}")
        if offsets:
            self._events, self._begun = 0, monotonic()
            self._meter = Meter(phase, offsets, "offsets", monotonic)

    def folded(self, filled: Filled) -> None:
        if self._meter:
            self._events += filled.events
            rate = self._events / max(monotonic() - self._begun, 1e-9)
            self._meter.what = f"{self._meter.what.partition(',')[0]}, {rate:,.0f} events/s"
            self._meter.advance(filled.offsets)

    def end(self) -> None:
        if self._meter:
            self._meter.end()
            self._meter = None

    async def accepts(self, comparison: Comparison) -> bool:
        self.end()
        if not self._accept_differences:
            return False
        # Standard output is the answer's alone when that is JSON.
        _show_differences(comparison, err=self._quiet)
        self.has_listed = True
        return self._yes or await asked("Swap although they differ?")


async def _rebuild(settings: OperationsSettings, options: Options, shown: _Shown) -> Outcome:
    return await _with_faults(settings, _rebuilding(settings, options, shown).rebuild(), shown)


async def _roll_back(settings: OperationsSettings, options: Options, shown: _Shown) -> Outcome:
    return await _with_faults(settings, _rebuilding(settings, options, shown).roll_back(), shown)


async def _offsets_to_roll_back(settings: OperationsSettings, shown: _Shown) -> int:
    rebuilding = _rebuilding(settings, Options(), shown)
    return await _with_faults(settings, rebuilding.offsets_to_roll_back())


def _rebuilding(settings: OperationsSettings, options: Options, shown: _Shown) -> Rebuilding:
    sources = Sources(settings.database, settings.kafka)
    return Rebuilding(sources, settings.topics.events, options, shown)


async def _with_faults(
    settings: OperationsSettings, work: Coroutine[Any, Any, Result], shown: _Shown | None = None
) -> Result:
    try:
        async with _faults():
            await _look(settings)  # in clear words if the database is away or not migrated
            return await work
    finally:
        work.close()
        if shown:
            shown.end()


@asynccontextmanager
async def _faults() -> AsyncIterator[None]:
    try:
        yield
    except AnotherUnderWay as fault:
        raise OperatorMistake(str(fault)) from fault
    except FAULTS as fault:
        raise CommandFault(str(fault)) from fault


async def _look(settings: OperationsSettings) -> tuple[Recorded | None, bool]:
    async with database(settings.database) as connection:
        return await last_recorded(connection), await exists(connection, PREVIOUS)


def _show(outcome: Outcome, shown: _Shown) -> None:
    comparison = outcome.comparison
    assert comparison is not None
    if not shown.has_listed:
        _show_differences(comparison)
    rate = outcome.events / max(outcome.seconds, 1e-9)
    folded = f"folded {outcome.events:,} events, {rate:,.0f}/s"
    if outcome.phase == "equal":
        say(f"{folded}; the live read models are what the log says")
    elif outcome.phase == "swapped":
        say(f"{folded}; the new read models are live; writers waited {_ms(outcome.held_up)}")
    else:
        say(f"{folded}; {comparison.differences:,} rows differ, so nothing was swapped")


def _show_differences(comparison: Comparison, *, err: bool = False) -> None:
    for difference in comparison.listed:
        say(_line(difference), err=err)
    more = comparison.differences - len(comparison.listed)
    if more > 0:
        say(f"… and {more:,} more; --limit names more", err=err)
    if comparison.waiting:
        say(f"{comparison.waiting:,} rows wait for events in the outbox or in quarantine", err=err)
    if comparison.lagging:
        say(f"{comparison.lagging:,} live rows are behind the log: the projector lags", err=err)


def _line(difference: Difference) -> str:
    fields = "; ".join(f"{f.name}: live {f.live!r}, log {f.log!r}" for f in difference.fields)
    return f"{difference.model} {difference.key} {difference.what}" + (fields and f": {fields}")


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    comparison = outcome.comparison
    return {
        "outcome": outcome.phase,
        "events": outcome.events,
        "seconds": round(outcome.seconds, 3),
        "heldUpSeconds": round(outcome.held_up, 4),
        "differenceCount": comparison.differences if comparison else 0,
        "differences": [d.as_json() for d in comparison.listed] if comparison else [],
        "waiting": comparison.waiting if comparison else 0,
        "lagging": comparison.lagging if comparison else 0,
    }


def _told(recorded: Recorded) -> str:
    of_what = f" of {recorded.only_model}" if recorded.only_model else ""
    by_whom = f"{recorded.kind}{of_what}, begun {recorded.started_at:%Y-%m-%d %H:%M:%S} UTC"
    far = ""
    if recorded.is_under_way and recorded.offsets_all:
        far = f", {recorded.offsets_done:,} of {recorded.offsets_all:,} offsets"
    found = f", {recorded.differences:,} rows differ" if recorded.differences else ""
    by_whom += f" by {recorded.started_by}"
    return f"{by_whom}: {recorded.state}, {recorded.phase}{far}{found}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"
