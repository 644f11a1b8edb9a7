"""`influencerctl quarantine … --consumer content`: the same for that service's parking place."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from services.core.readmodel.records import StreamId
from services.core.subscriber import FaultKind, ParkingPlace, StreamKey
from services.ops.content_parking import (
    Parked,
    content_parking,
    parked_records,
    parked_streams,
    skip_json,
)
from services.ops.faults import ExitStatus
from services.ops.quarantine import KeptRecord, named_stream
from services.ops.settings import OperationsSettings
from services.ops.terminal import answer_json, confirm, run, say, show

Done = TypeVar("Done")


class Consumer(StrEnum):
    PROJECTOR = "projector"
    CONTENT = "content"


ConsumerOption = Annotated[
    Consumer, typer.Option(help="Whose streams: each has parked what it could not handle itself.")
]


def list_parked(settings: OperationsSettings, skipped: bool, json: bool) -> None:
    if skipped:
        return _list_skipped(settings, json)
    rows = [parked.as_json() for parked in run(_asked(settings, parked_streams))]
    if json:
        answer_json({"streams": rows})
    elif rows:
        columns = {"topic": "Topic", "stream": "Stream", "records": "Records", "since": "Since"}
        show(rows, {**columns, "reason": "Why", "retryAt": "Tried again"})
    else:
        say("the content service has parked nothing")
    if rows:
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


def find_records(
    settings: OperationsSettings, named: str, topics: Collection[str] | None
) -> list[KeptRecord]:
    """Those of the stream `named` that are parked. Raises CommandFault, OperatorMistake."""

    async def look(parking: ParkingPlace) -> list[KeptRecord]:
        return await parked_records(parking, _named(await parked_streams(parking), named, topics))

    return run(_asked(settings, look))


def retry_parked(
    settings: OperationsSettings,
    named: str | None,
    topics: Collection[str] | None,
    *,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Every stream for None. The service itself tries again, as soon as it gets to it."""
    found = run(_asked(settings, parked_streams))
    chosen = found if named is None else [_named(found, named, topics)]
    wanted = [parked for parked in chosen if topics is None or parked.stream.topic in topics]
    if not dry_run and wanted:
        confirm(f"Let the content service try {len(wanted)} streams again?", yes)
        run(_asked(settings, lambda parking: _retry(parking, [one.stream for one in wanted])))
    if json:
        return answer_json({"dryRun": dry_run, "streams": [parked.as_json() for parked in wanted]})
    if not wanted:
        return say("the content service has parked nothing")
    return say(f"{len(wanted)} streams {'would be' if dry_run else 'are'} tried again")


def skip_parked(
    settings: OperationsSettings,
    named: str,
    topics: Collection[str] | None,
    reason: str,
    *,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Gives up the first record, or the events that are missing before it."""
    parked = _named(run(_asked(settings, parked_streams)), named, topics)
    what = "the missing events" if parked.by.parking.kind is FaultKind.GAP else "the first record"
    told = f"{what} of {parked.stream.key or 'the stream without a key'}"
    skip = None
    if not dry_run:
        confirm(f"Let the content service go on without {told}?", yes)
        stream = StreamKey(*parked.stream)
        skip = run(_asked(settings, lambda parking: parking.skip(stream, reason)))
    if json:
        return answer_json({"dryRun": dry_run, "skipped": skip_json(skip) if skip else None})
    return say(f"{'would skip' if dry_run else 'skipped'} {told}")


def _list_skipped(settings: OperationsSettings, json: bool) -> None:
    rows = [skip_json(skip) for skip in run(_asked(settings, lambda parking: parking.skips()))]
    if json:
        return answer_json({"skipped": rows})
    if not rows:
        return say("nothing was skipped")
    columns = {"topic": "Topic", "stream": "Stream", "firstSequence": "From", "lastSequence": "To"}
    return show(rows, {**columns, "skippedAt": "When", "skippedBecause": "Why"})


async def _asked(
    settings: OperationsSettings, question: Callable[[ParkingPlace], Awaitable[Done]]
) -> Done:
    async with content_parking(settings) as parking:
        return await question(parking)


async def _retry(parking: ParkingPlace, streams: Sequence[StreamId]) -> None:
    for stream in streams:
        await parking.retry(StreamKey(*stream))


def _named(found: Sequence[Parked], named: str, topics: Collection[str] | None) -> Parked:
    """Raises CommandFault, OperatorMistake."""
    stream = named_stream([parked.stream for parked in found], named, topics)
    return next(parked for parked in found if parked.stream == stream)
