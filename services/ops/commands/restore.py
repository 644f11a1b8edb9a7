"""`influencerctl restore`."""

import os
from typing import Annotated

import typer

from services.ops.faults import ExitStatus
from services.ops.restore import Restored, look
from services.ops.restore import restore as restore_database
from services.ops.settings import operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    confirm,
    run,
    say,
)


def restore(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes to fold with.")] = min(
        4, os.cpu_count() or 1
    ),
    memory: Annotated[
        int, typer.Option(metavar="MIB", min=64, help="Each of them takes about so much memory.")
    ] = 512,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Bring streams and read models back from the log alone, onto an empty, migrated database.

    Stop the services first, and start them afterwards. Jobs that still run are queued again.
    Killed, it goes on where it was when called again. Organizations, projects, keys and skipped
    records are not on the log: restore the schema `control` from Postgres' own backup before.
    Status 1 when streams are in quarantine afterwards: they have no state to append to until
    `quarantine retry` and `repair`.

    Example: influencerctl restore --workers 4
    """
    settings = operations_settings()
    prospect = run(look(settings))
    what = "go on with the restore" if prospect.resumes else "restore"
    amount = f"{prospect.offsets - prospect.done:,} of {prospect.offsets:,} offsets"
    if dry_run:
        if json:
            return answer_json(
                {
                    "dryRun": True,
                    "resumes": prospect.resumes,
                    "offsets": prospect.offsets,
                    "done": prospect.done,
                }
            )
        return say(f"would {what}: {amount} are to be folded")
    confirm(f"{what.capitalize()} onto this database ({amount})?", yes)
    restored = run(restore_database(settings, workers=workers, memory=memory))
    if json:
        answer_json({"dryRun": False, **restored.as_json()})
    else:
        _show(restored)
    if restored.parked:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


def _show(restored: Restored) -> None:
    say(f"restored {restored.events:,} events and {restored.streams:,} streams")
    say(f"queued {restored.queued_jobs:,} jobs that still run")
    for key, records in restored.parked.items():
        say(f"in quarantine: {key}, {records:,} records")
