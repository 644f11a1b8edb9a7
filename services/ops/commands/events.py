"""`influencerctl events`."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
import typer
from rich.text import Text
from ulid import ULID

from schemas.events import EVENT_TYPES
from schemas.ids import Prefix
from services.core.clock import system_clock
from services.ops.activity import hidden
from services.ops.connections import DEFAULT_PATIENCE
from services.ops.durations import read_moment
from services.ops.event_table import EventTable
from services.ops.events import Filter, ReadEvent, Span, read_event, records
from services.ops.faults import CommandFault, ExitStatus, NotFoundInTime, OperatorMistake
from services.ops.options import (
    OptionalOrganizationOption,
    TopicOption,
    chosen_topics,
    complete_events,
    complete_influencers,
    complete_jobs,
    identifier,
)
from services.ops.progress import progress
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.streams import find_stream_of_job, find_streams, topic_of
from services.ops.terminal import (
    JsonOption,
    TimeoutOption,
    answer_json,
    application,
    console,
    json_line,
    run,
)

events_application = application("The log of events, as subscribers see it.")

CLOCK_MARGIN = timedelta(minutes=5)
EPOCH = datetime.fromtimestamp(0, UTC)
LAST_MOMENT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def _complete_types(incomplete: str) -> list[str]:
    return sorted({name for name, _ in EVENT_TYPES if name.startswith(incomplete)})


InfluencerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Of this one: inf_…, ULID or UUID.",
        autocompletion=complete_influencers,
    ),
]
JobOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Of this job.", autocompletion=complete_jobs),
]
TypeOption = Annotated[
    list[str] | None,
    typer.Option(help="Of this type; repeatable.", autocompletion=_complete_types),
]
PartitionOption = Annotated[
    list[int] | None, typer.Option(min=0, help="Only this partition; repeatable.")
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="From a time on, or a duration ago: 10m.")
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Before a time, or a duration ago.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="End after so many.")]


@events_application.command("tail")
def tail(
    influencer: InfluencerOption = None,
    job: JobOption = None,
    organization: OptionalOrganizationOption = None,
    type: TypeOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    from_beginning: Annotated[bool, typer.Option(help="From the first event on.")] = False,
    limit: LimitOption = None,
    follow: Annotated[
        bool, typer.Option(help="Wait for new events; --until ends without waiting.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Follow the events, committed ones only; --json gives one object a line.

    Example: influencerctl events tail --since 10m --type InfluencerFailed --no-follow
    """
    settings = operations_settings()
    wanted = _filter(influencer, job, organization, type, since, until)
    follow = follow and until is None
    span = Span(
        topics=chosen_topics(settings.topics, topic),
        partitions=frozenset(partition or ()),
        from_beginning=from_beginning or not follow,
        follow=follow,
    )
    run(_list(settings, wanted, span, limit, json), follows=follow)


@events_application.command("show")
def show(
    event_id: Annotated[
        str | None, typer.Argument(metavar="EVENT_ID", autocompletion=complete_events)
    ] = None,
    influencer: InfluencerOption = None,
    job: JobOption = None,
    organization: OptionalOrganizationOption = None,
    type: TypeOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
    timeout: TimeoutOption = DEFAULT_PATIENCE,
    json: JsonOption = False,
) -> None:
    """Show one event whole, or without an id list those on the log by now.

    Status 1 when there is none. --timeout is for finding one event. --json gives the list as one
    object a line.

    Example: influencerctl events show evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T

    Example: influencerctl events show --influencer inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T --since 1d
    """
    settings = operations_settings()
    topics = chosen_topics(settings.topics, topic)
    partitions = frozenset(partition or ())
    if event_id is None:
        wanted = _filter(influencer, job, organization, type, since, until)
        span = Span(topics, partitions, from_beginning=True)
        if not run(_list(settings, wanted, span, limit, json)):
            raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
        return None
    if influencer or job or organization or type or since or until or limit:
        raise OperatorMistake("an event's id says which one: leave out what else selects events")
    span = Span(topics, partitions, from_beginning=True)
    event = run(_find(settings, identifier(Prefix.EVENT, event_id), span, timeout))
    if json:
        return answer_json(event.as_json())
    return _show_whole(event)


def _filter(
    influencer: str | None,
    job: str | None,
    organization: str | None,
    types: Sequence[str] | None,
    since: str | None,
    until: str | None,
) -> Filter:
    now = system_clock()
    return Filter(
        subject=identifier(Prefix.INFLUENCER, influencer) if influencer is not None else None,
        organization=organization,
        job=identifier(Prefix.JOB, job) if job is not None else None,
        types=[_known_type(name) for name in types or ()],
        since=read_moment(since, now) if since else None,
        until=read_moment(until, now) if until else None,
    )


async def _list(
    settings: OperationsSettings, wanted: Filter, span: Span, limit: int | None, json: bool
) -> int:
    """How many it has shown."""
    wanted = await _located(settings, wanted)
    span = replace(
        span,
        topics=_topics_of(settings, wanted, span),
        streams=wanted.streams,
        since=_earlier(wanted.since),
        until=_later(wanted.until),
    )
    table = EventTable(console())
    shown = 0
    with progress("reading the log", unit="records") as meter:
        async with aclosing(records(settings.kafka, span, meter)) as found:
            async for record in found:
                if not wanted.may_pass(record) or not wanted.passes(event := read_event(record)):
                    continue
                if sys.stdout.isatty():
                    meter.make_way()
                with hidden():
                    if json:
                        json_line(event.as_json())
                    else:
                        table.add(event)
                shown += 1
                if shown == limit:
                    return shown
    return shown


async def _located(settings: OperationsSettings, wanted: Filter) -> Filter:
    if wanted.subject is not None:
        streams = await find_streams(settings, wanted.subject, wanted.organization)
    elif wanted.job is not None:
        streams = await find_stream_of_job(settings, wanted.job)
    else:
        streams = []
    return replace(wanted, streams=streams)


def _topics_of(settings: OperationsSettings, wanted: Filter, span: Span) -> Sequence[str]:
    """An influencer's events are all on one topic."""
    ids = {stream.stream_id for stream in wanted.streams} or {wanted.subject} - {None}
    known = {topic_of(stream_id, settings.topics) for stream_id in ids if stream_id}
    return [topic for topic in span.topics if not known or topic in known]


def _show_whole(event: ReadEvent) -> None:
    out = console()
    heading = Text(event.type, style="bold")
    out.print(heading.append(f"  {event.topic} {event.partition}:{event.offset}", style="default"))
    for name, value in event.attributes.items():
        out.print(Text(f"  {name:<20} {value}"))
    out.print(Text(orjson.dumps(event.data, option=orjson.OPT_INDENT_2).decode()))


async def _find(
    settings: OperationsSettings, event_id: str, span: Span, seconds: float
) -> ReadEvent:
    try:
        async with asyncio.timeout(seconds):
            return await _search(settings, event_id, span)
    except TimeoutError:
        raise NotFoundInTime(event_id, seconds) from None


async def _search(settings: OperationsSettings, event_id: str, span: Span) -> ReadEvent:
    """An event's id tells when it was made; on the log it can't be much before that."""
    made = ULID.from_str(event_id.partition("_")[2]).milliseconds / 1000
    about = datetime.fromtimestamp(min(made, LAST_MOMENT), UTC)
    header = ("ce_id", event_id.encode())
    for since in (_earlier(about), None):
        part = replace(span, since=since)
        with progress("searching the log", unit="records") as meter:
            async with aclosing(records(settings.kafka, part, meter)) as found:
                async for record in found:
                    if header in record.headers:
                        return read_event(record)
    raise CommandFault(f"there is no event {event_id} on the log")


def _earlier(moment: datetime | None) -> datetime | None:
    """Records bear the broker's time, events that of whoever appended them."""
    return max(moment, EPOCH + CLOCK_MARGIN) - CLOCK_MARGIN if moment else None


def _later(moment: datetime | None) -> datetime | None:
    """An event may have waited in the outbox while Kafka was away: a day is allowed for that."""
    return None if moment is None else moment + timedelta(days=1)


def _known_type(name: str) -> str:
    known = _complete_types("")
    if name not in known:
        raise OperatorMistake(f"there is no event type {name!r}; the types are {', '.join(known)}")
    return name
