"""`influencerctl quarantine`."""

import getpass
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from services.core.postgres import Connection
from services.core.readmodel.quarantine import (
    SequenceUnclear,
    Settled,
    Skipped,
    SkipRequest,
    retry,
    skip,
)
from services.core.readmodel.records import StreamId
from services.ops.commands.content_quarantine import (
    Consumer,
    ConsumerOption,
    find_records,
    list_parked,
    retry_parked,
    skip_parked,
)
from services.ops.commands.kept_records import show_records
from services.ops.connections import database
from services.ops.faults import ExitStatus, OperatorMistake
from services.ops.options import TopicOption, chosen_topics, complete_parked
from services.ops.progress import progress
from services.ops.quarantine import (
    KeptRecord,
    changed,
    find_stream,
    parked_records,
    parked_streams,
    skipped_records,
)
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    confirm,
    run,
    say,
    show,
)

Answer = TypeVar("Answer")

quarantine_application = application(
    "Streams that met an event which could not be applied: that event and all later ones, in order."
)

StreamArgument = Annotated[
    str,
    typer.Argument(
        metavar="STREAM",
        help='The id of an influencer, asset or content, or a whole key; "" for no key.',
        autocompletion=complete_parked,
    ),
]


@quarantine_application.command("list")
def list_(
    skipped: Annotated[bool, typer.Option("--skipped", help="What was skipped instead.")] = False,
    consumer: ConsumerOption = Consumer.PROJECTOR,
    json: JsonOption = False,
) -> None:
    """List the streams in quarantine and why; status 1 when there are any.

    Example: influencerctl quarantine list --skipped
    """
    settings = operations_settings()
    if consumer is Consumer.CONTENT:
        return list_parked(settings, skipped, json)
    if skipped:
        return _list_skipped(settings, json)
    streams = run(_asked(settings, parked_streams))
    rows = [stream.as_json() for stream in streams]
    if json:
        answer_json({"streams": rows})
    elif rows:
        columns = {"topic": "Topic", "stream": "Stream", "records": "Records", "since": "Since"}
        show(rows, {**columns, "reason": "Why"})
    else:
        say("nothing is in quarantine")
    if streams:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


@quarantine_application.command("show")
def show_(
    stream: StreamArgument,
    topic: TopicOption = None,
    consumer: ConsumerOption = Consumer.PROJECTOR,
    json: JsonOption = False,
) -> None:
    """Show a stream's records in quarantine, in order, and those that were skipped.

    Example: influencerctl quarantine show inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T
    """
    settings = operations_settings()

    async def look(connection: Connection) -> tuple[list[KeptRecord], list[KeptRecord]]:
        found = await find_stream(connection, stream, _topics(settings, topic))
        return await parked_records(connection, found), await skipped_records(connection, found)

    if consumer is Consumer.CONTENT:
        return show_records(find_records(settings, stream, _topics(settings, topic)), [], json)
    return show_records(*run(_asked(settings, look)), json)


@quarantine_application.command("retry")
def retry_(
    stream: Annotated[
        str | None,
        typer.Argument(metavar="[STREAM]", help="As for `show`.", autocompletion=complete_parked),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every stream in quarantine.")] = False,
    topic: TopicOption = None,
    consumer: ConsumerOption = Consumer.PROJECTOR,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Apply a stream's records again, in order, until one still fails; that and the rest stay.

    Each stream in one transaction. Status 1 when any record stays.

    Example: influencerctl quarantine retry --all --dry-run
    """
    settings = operations_settings()
    if (stream is None) != all_:
        raise OperatorMistake("name a stream, or give --all")
    if consumer is Consumer.CONTENT:
        topics = _topics(settings, topic)
        return retry_parked(settings, stream, topics, dry_run=dry_run, yes=yes, json=json)
    streams = run(_asked(settings, lambda c: _streams(c, stream, _topics(settings, topic))))
    if not dry_run and streams:
        named = streams[0].key if len(streams) == 1 else f"{len(streams)} streams"
        confirm(f"Apply the records of {named} again?", yes)
    settled = run(_retried(settings, streams, dry_run))
    rows = [_settled_json(stream, done) for stream, done in settled.items()]
    if json:
        answer_json({"dryRun": dry_run, "streams": rows})
    elif rows:
        columns = {"topic": "Topic", "stream": "Stream", "applied": "Applied"}
        show(rows, {**columns, "remaining": "Still parked", "reason": "Why"})
        say("a dry run: nothing was changed" if dry_run else "done")
    else:
        say("nothing is in quarantine")
    if any(done.remaining for done in settled.values()):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


@quarantine_application.command("skip")
def skip_(
    stream: StreamArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the record.")],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who; otherwise user and host.")
    ] = None,
    sequence: Annotated[
        int | None,
        typer.Option(min=0, help="The stream's sequence after it, where the records don't tell."),
    ] = None,
    topic: TopicOption = None,
    consumer: ConsumerOption = Consumer.PROJECTOR,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Give up a stream's first record in quarantine, for good, and apply the others again.

    Every fold of the log passes it over from then on, a rebuild's too. Who, when, why and the
    record itself are kept: `quarantine list --skipped`. Status 1 when any record stays.

    Example: influencerctl quarantine skip inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --reason "sent by hand"
    """
    settings = operations_settings()
    if not reason.strip():
        raise OperatorMistake("a skip needs a reason")
    if consumer is Consumer.CONTENT:
        if sequence is not None:
            raise OperatorMistake("--sequence is for the projector's streams")
        why = f"{reason.strip()} (by {by or _operator()})"
        topics = _topics(settings, topic)
        return skip_parked(settings, stream, topics, why, dry_run=dry_run, yes=yes, json=json)
    request = SkipRequest(reason.strip(), by or _operator(), sequence)
    found = run(_asked(settings, lambda c: find_stream(c, stream, _topics(settings, topic))))
    done = run(_skipped(settings, found, request, dry_run=True))
    if not dry_run:
        confirm(f"Skip {_told(done)}?", yes)
        done = run(_skipped(settings, found, request, dry_run=False))
    if json:
        answer_json(
            {
                "dryRun": dry_run,
                "partition": done.record.partition,
                "offset": done.record.offset,
                "sequenceAfter": done.sequence_after,
                **_settled_json(found, done.then),
            }
        )
    else:
        say(f"{'would skip' if dry_run else 'skipped'} {_told(done)}")
        if done.then.remaining:
            say(f"still parked: {done.then.remaining:,} ({done.then.reason})")
    if done.then.remaining:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


def _list_skipped(settings: OperationsSettings, json: bool) -> None:
    rows = [record.as_json() for record in run(_asked(settings, skipped_records))]
    if json:
        return answer_json({"skipped": rows})
    if not rows:
        return say("nothing was skipped")
    columns = {"topic": "Topic", "stream": "Stream", "partition": "Partition", "offset": "Offset"}
    why = {"skippedAt": "When", "skippedBy": "Who", "skippedBecause": "Why", "reason": "Fault"}
    return show(rows, columns | why)


async def _asked(
    settings: OperationsSettings, question: Callable[[Connection], Awaitable[Answer]]
) -> Answer:
    async with database(settings.database) as connection:
        return await question(connection)


async def _streams(
    connection: Connection, named: str | None, topics: Sequence[str] | None
) -> list[StreamId]:
    if named is not None:
        return [await find_stream(connection, named, topics)]
    parked = await parked_streams(connection)
    streams = [each.stream for each in parked if not each.repeated]
    return [stream for stream in streams if topics is None or stream.topic in topics]


async def _retried(
    settings: OperationsSettings, streams: Sequence[StreamId], dry_run: bool
) -> dict[StreamId, Settled]:
    settled = {}
    with progress("applying again", len(streams), unit="streams") as meter:
        async with database(settings.database) as connection:
            for stream in streams:
                again = partial(retry, connection, stream)
                settled[stream] = await changed(connection, again, dry_run=dry_run)
                meter.advance()
    return settled


async def _skipped(
    settings: OperationsSettings, stream: StreamId, request: SkipRequest, *, dry_run: bool
) -> Skipped:
    async with database(settings.database) as connection:
        try:
            give_up = partial(skip, connection, stream, request)
            return await changed(connection, give_up, dry_run=dry_run)
        except SequenceUnclear as fault:
            raise OperatorMistake(
                f"{fault}: say with --sequence what the stream's sequence is after it "
                f"({fault.says} gives up what is missing before it, "
                f"{fault.expected} takes it for the next one, {fault.expected - 1} for none)"
            ) from None


def _topics(settings: OperationsSettings, chosen: Sequence[str] | None) -> Sequence[str] | None:
    return chosen_topics(settings.topics, chosen) if chosen else None


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _told(done: Skipped) -> str:
    record = done.record
    what = record.event.type if record.event else "a record that can't be read"
    place = f"{record.stream.topic} {record.partition}:{record.offset}"
    return (
        f"{what} at {place}: {record.stream.key or 'the stream without a key'} goes on "
        f"after sequence {done.sequence_after}, with {done.then.applied:,} more events"
    )


def _settled_json(stream: StreamId, done: Settled) -> dict[str, Any]:
    return {
        "topic": stream.topic,
        "stream": stream.key,
        "applied": done.applied,
        "skipped": done.skipped,
        "repeated": done.repeated,
        "remaining": done.remaining,
        "reason": done.reason,
    }
