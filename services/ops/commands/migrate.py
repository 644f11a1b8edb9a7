"""`influencerctl migrate`."""

from dataclasses import asdict
from typing import Annotated

import typer

from services.ops import migrations
from services.ops.faults import ExitStatus
from services.ops.migrations import Migration
from services.ops.settings import operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    confirm_addition,
    run,
    say,
    show,
)

WaitOption = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for Postgres.")
]


def migrate(
    status: Annotated[
        bool, typer.Option("--status", help="Only say what is applied; status 1 if any isn't.")
    ] = False,
    wait: WaitOption = 0.0,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Bring the database to this version; safe to repeat, and beside running services.

    Example: influencerctl migrate --wait 30
    """
    database_url = operations_settings().database
    if status:
        return _show_status(run(migrations.status(database_url, wait)), json)
    pending = [m for m in run(migrations.status(database_url, wait)) if not m.applied]
    if pending and not dry_run:
        confirm_addition(f"Apply {len(pending)} migrations, {pending[-1].name} the last?", yes)
        pending = run(migrations.migrate(database_url))
    if json:
        versions = [migration.version for migration in pending]
        return answer_json({"pending" if dry_run else "applied": versions})
    for migration in pending:
        say(f"{'would apply' if dry_run else 'applied'} {migration.version} {migration.name}")
    if not pending:
        say("nothing to do: the database is up to date")
    return None


def _show_status(known: list[Migration], json: bool) -> None:
    if json:
        answer_json({"migrations": [asdict(migration) for migration in known]})
    else:
        show(
            [asdict(migration) for migration in known],
            {"version": "Version", "name": "Name", "applied": "Applied"},
        )
    if not all(migration.applied for migration in known):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
