"""`influencerctl repair`."""

from typing import Annotated

import typer

from services.ops.commands.verify import show_difference
from services.ops.faults import ExitStatus
from services.ops.options import OptionalOrganizationOption, complete_streams, stream_identifier
from services.ops.repair import Repaired, find_stream, read_stream
from services.ops.repair import repair as repair_stream
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


def repair(
    stream: Annotated[
        str,
        typer.Argument(
            metavar="INFLUENCER",
            help="inf_…, ULID or UUID; or cnt_… or ast_… in full.",
            autocompletion=complete_streams,
        ),
    ],
    organization: OptionalOrganizationOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Make one influencer's rows anew from the log: its stream, itself, jobs, events, images.

    First it says which rows and fields would change, then it asks. In one transaction, beside
    everything else at work; no reader sees a row go back. Status 1 when the log can't be folded to
    the stream's end: what is behind that stays in quarantine.

    Example: influencerctl repair inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --dry-run
    """
    settings = operations_settings()
    found = run(find_stream(settings, stream_identifier(stream), organization))
    records = run(read_stream(settings, found))
    done = run(repair_stream(settings, found, records, dry_run=True))
    _show(done, err=json)
    if done.differences and not dry_run:
        confirm(f"Write {len(done.differences):,} rows of {found.key}?", yes)
        done = run(repair_stream(settings, found, records, dry_run=False))
    if json:
        answer_json({"dryRun": dry_run, **done.as_json()})
    else:
        say("a dry run: nothing was changed" if dry_run else f"sound, at sequence {done.sequence}")
    if done.quarantined:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


def _show(done: Repaired, *, err: bool) -> None:
    """Before anything is asked; standard output is the answer's alone when that is JSON."""
    for each in done.differences:
        show_difference(each, err=err)
    if not done.differences:
        say(f"nothing to repair: {done.stream.key} is as the log says", err=err)
    if done.quarantined:
        say(f"the log can't be folded to its end: {done.quarantined}", err=err)
