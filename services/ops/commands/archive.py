"""`influencerctl export` and `import`."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.events import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC
from schemas.ids import Prefix
from services.core.clock import system_clock, timestamp
from services.core.eventlog.topics import TopicNames
from services.ops.activity import activity
from services.ops.archive.checking import CheckedFile, check_file
from services.ops.archive.exporting import Exported, export_log, look_before_export
from services.ops.archive.file import DamagedFile
from services.ops.archive.importing import Target, import_log, look_at_target
from services.ops.archive.lines import Selection
from services.ops.archive.tally import LogFault
from services.ops.durations import read_moment
from services.ops.faults import CommandFault, ExitStatus, OperatorMistake
from services.ops.options import TopicOption, chosen_topics, complete_influencers, identifier
from services.ops.progress import progress
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    confirm,
    run,
    say,
)

TOPICS = (INFLUENCER_TOPIC, MEDIA_TOPIC, CONTENT_TOPIC)
SHOWN_FAULTS = 20


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To be made, e.g. log.jsonl.zst.")],
    topic: TopicOption = None,
    influencer: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Only this one's stream: inf_…, ULID or UUID.",
            autocompletion=complete_influencers,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: a time, or 10m, 2h, 90d.")
    ] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Write the log to a file: JSON Lines in zstd, with counts, sequences and hashes.

    What is on the log when it begins is written, from all topics. Interrupted, it goes on where it
    was when it is called again. Status 1 when the log itself has holes, repeats or foreign records:
    they are named, and exported as they are.

    Example: influencerctl export log.jsonl.zst
    """
    settings = operations_settings()
    selection = _selection(settings.topics, topic, influencer, since, file)
    if dry_run:
        offsets, resumes = run(look_before_export(settings, file, selection))
        if json:
            return answer_json(
                {"file": str(file), "dryRun": True, "resumes": resumes, "offsets": offsets}
            )
        what = "go on with" if resumes else "write"
        return say(f"would {what} {file}: {offsets:,} offsets of the log are to be read")
    with progress("exporting", unit="offsets") as meter:
        done = run(export_log(settings, file, selection, system_clock, meter))
    if json:
        answer_json({"file": str(file), **_exported_json(done)})
    else:
        resumed = f", {done.resumed:,} of them by an earlier run" if done.resumed else ""
        say(f"exported {done.records:,} records of {done.streams:,} streams to {file}{resumed}")
        _show_faults(done.faults, done.fault_count)
    if done.fault_count:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)
    ],
    accept_faults: Annotated[
        bool, typer.Option(help="Also a file whose log had holes or repeats when it was exported.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=20_000, help="Records in one Kafka transaction.")
    ] = 2000,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Write an exported log into this cluster's empty topics; the whole file is checked first.

    Keys, values, headers and timestamps are as they were, and each event is there exactly once,
    also when the import is killed and called again. A damaged file writes nothing. Afterwards,
    `influencerctl restore` brings back streams and read models.

    Example: influencerctl import log.jsonl.zst --dry-run
    """
    settings = operations_settings()
    checked = _checked(file)
    _require_importable(checked, accept_faults)
    target = run(look_at_target(settings, checked))
    remaining = checked.records - target.done
    if not dry_run and remaining:
        confirm(_question(settings, checked, target), yes)
        with progress("importing", checked.records, unit="records") as meter:
            run(import_log(settings, checked, batch_size=batch_size, advance=meter.advance))
    if json:
        return answer_json(
            {
                "file": str(file),
                "sha256": checked.digest,
                "records": checked.records,
                "streams": checked.streams,
                "topics": checked.topics,
                "alreadyThere": target.done,
                "written": 0 if dry_run else remaining,
                "dryRun": dry_run,
            }
        )
    verb = "would write" if dry_run else "wrote"
    there = f"; {target.done:,} were there already" if target.done else ""
    say(f"{file} is sound; {verb} {remaining:,} of {checked.records:,} records{there}")
    return None


def _selection(
    names: TopicNames,
    topics: list[str] | None,
    influencer: str | None,
    since: str | None,
    file: Path,
) -> Selection:
    wanted = [name.removeprefix(names.prefix) for name in chosen_topics(names, topics)]
    if influencer is not None:
        influencer = identifier(Prefix.INFLUENCER, influencer)
        if INFLUENCER_TOPIC not in wanted:
            raise OperatorMistake(f"an influencer's stream is on {INFLUENCER_TOPIC}")
        wanted = [INFLUENCER_TOPIC]
    if not file.parent.is_dir():
        raise OperatorMistake(f"there is no folder {file.parent}")
    moment = timestamp(read_moment(since, system_clock())) if since else None
    return Selection(tuple(sorted(wanted, key=TOPICS.index)), moment, influencer)


def _checked(file: Path) -> CheckedFile:
    what = f"checking {file.name}"
    with activity(what), progress(what, unit="records") as meter:
        try:
            return check_file(file, meter.advance)
        except DamagedFile as fault:
            raise CommandFault(f"{file}: {fault}; nothing was written") from fault


def _require_importable(file: CheckedFile, accept_faults: bool) -> None:
    if file.header.selection.since is not None:
        raise CommandFault(
            f"{file.path} holds the events since {file.header.selection.since} only: "
            "an import needs every stream from its beginning"
        )
    if file.fault_count and not accept_faults:
        _show_faults(file.faults, file.fault_count, to_stderr=True)
        raise CommandFault(
            f"{file.path} is whole, but its log was damaged when it was exported "
            "(--accept-faults imports it as it is); nothing was written"
        )


def _question(settings: OperationsSettings, file: CheckedFile, target: Target) -> str:
    topics = ", ".join(settings.topics.named(topic) for topic in file.header.spans)
    remaining = file.records - target.done
    return f"Write {remaining:,} records to {topics} at {settings.kafka}?"


def _show_faults(faults: tuple[LogFault, ...], count: int, *, to_stderr: bool = False) -> None:
    for fault in faults[:SHOWN_FAULTS]:
        typer.echo(f"on the log: {fault}", err=to_stderr)
    if count > SHOWN_FAULTS:
        typer.echo(f"on the log: {count - SHOWN_FAULTS:,} more", err=to_stderr)


def _exported_json(done: Exported) -> dict[str, object]:
    return {
        "records": done.records,
        "resumed": done.resumed,
        "streams": done.streams,
        "topics": done.topics,
        "sha256": done.sha256,
        "faults": done.fault_count,
        "faultsNamed": [fault._asdict() for fault in done.faults],
    }
