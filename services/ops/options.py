"""Options and arguments that several commands take, how they are read, and how Tab completes them.

A completion never fails and never waits for long: what can't be had just isn't offered.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import asyncpg
import typer

from schemas.ids import InvalidIdentifier, Prefix, parse_identifier, parse_plain_uuid
from services.core.eventlog.topics import TopicNames
from services.ops.faults import OperatorMistake
from services.ops.settings import OperationsSettings, operations_settings

COMPLETION_PATIENCE = 1.0
COMPLETIONS = 50
TOPICS = ("influencer", "media", "content")
STREAM_PREFIXES = (Prefix.INFLUENCER, Prefix.CONTENT, Prefix.ASSET)

FIND_ORGANIZATIONS = """
select organization_id::text as value, name as help from control.organizations
where starts_with(organization_id::text, lower($1)) order by created_at desc limit $2
"""
FIND_KEYS = """
select key_id as value, name as help from control.api_keys
where starts_with(key_id, $1) and revoked_at is null order by created_at desc limit $2
"""
FIND_INFLUENCERS = """
select influencer_id as value, state #>> '{profile,name}' as help from read_model.influencers
where starts_with(influencer_id, $1) limit $2
"""
FIND_STREAMS = """
(select stream_id as value, null as help from event_log.streams
 where starts_with(stream_id, $1) and stream_id not like 'inf%' limit $2)
union all
(select influencer_id, state #>> '{profile,name}' from read_model.influencers
 where starts_with(influencer_id, $1) limit $2)
"""
FIND_JOBS = """
select job_id as value, concat(kind, ' ', status) as help from read_model.jobs
where job_id >= $1 and job_id < $1 || '~' order by job_id desc limit $2
"""
FIND_PARKED = """
select stream_key as value, min(reason) as help from read_model.quarantine
where starts_with(stream_key, $1) or starts_with(split_part(stream_key, '/', 2), $1)
group by stream_key order by stream_key limit $2
"""
FIND_QUEUED_JOBS = """
(select dedupe_key as value, concat('render ', status) as help from render_queue.pgqueuer
 where starts_with(dedupe_key, $1) order by id desc limit $2)
union all
(select dedupe_key, concat('content ', status) from content.pgqueuer
 where starts_with(dedupe_key, $1) order by id desc limit $2)
"""
# Of the newest of each organization and partition: no index finds an id by its beginning.
FIND_EVENTS = """
select newest.event_id as value, concat(newest.type, ' ', newest.stream_id) as help
from (select organization_id from control.organizations order by created_at desc limit 20) as o
cross join read_model.projection_offsets p
cross join lateral (
    select event_id, type, stream_id from read_model.events e
    where e.organization_id = o.organization_id and e.topic = p.topic and e.partition = p.partition
    order by e.record_offset desc limit 10
) as newest
where starts_with(newest.event_id, $1) order by newest.event_id desc limit $2
"""


def complete_organizations(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_ORGANIZATIONS, incomplete)


def complete_keys(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_KEYS, incomplete)


def complete_influencers(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_INFLUENCERS, incomplete)


def complete_streams(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_STREAMS, incomplete)


def complete_jobs(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_JOBS, incomplete)


def complete_queued_jobs(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_QUEUED_JOBS, incomplete)


def complete_events(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_EVENTS, incomplete)


def complete_parked(incomplete: str) -> list[tuple[str, str]]:
    return _from_database(FIND_PARKED, incomplete)


def complete_topics(incomplete: str) -> list[str]:
    return [topic for topic in TOPICS if topic.startswith(incomplete)]


def _plain_uuid(text: str) -> str:
    try:
        return parse_plain_uuid(text)
    except ValueError:
        raise typer.BadParameter("not a UUID") from None


OrganizationOption = Annotated[
    str,
    typer.Option(
        "--organization",
        metavar="ID",
        parser=_plain_uuid,
        help="Its id.",
        autocompletion=complete_organizations,
    ),
]
OptionalOrganizationOption = Annotated[
    str | None,
    typer.Option(
        "--organization",
        metavar="ID",
        parser=_plain_uuid,
        help="Only of this one.",
        autocompletion=complete_organizations,
    ),
]
TopicOption = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Only this one: {', '.join(TOPICS)}; repeatable.", autocompletion=complete_topics
    ),
]


def identifier(prefix: Prefix, text: str) -> str:
    """The id as we write it. Raises OperatorMistake."""
    try:
        return parse_identifier(prefix, text)
    except InvalidIdentifier:
        kind = prefix.name.lower().replace("_", " ")
        article = "an" if kind[0] in "aeiou" else "a"
        raise OperatorMistake(
            f"{text!r} is not {article} {kind} id: {prefix}_ and a ULID, a bare ULID, or a UUID"
        ) from None


def stream_identifier(text: str) -> str:
    """The id of a stream: an influencer's unless it says otherwise. Raises OperatorMistake."""
    for prefix in STREAM_PREFIXES:
        if text.lower().startswith(f"{prefix}_"):
            return identifier(prefix, text)
    return identifier(Prefix.INFLUENCER, text)


def chosen_topics(names: TopicNames, chosen: Sequence[str] | None) -> Sequence[str]:
    """Full names of the topics of events; all of them when none was chosen.

    Raises OperatorMistake.
    """
    known = dict(zip(TOPICS, names.events, strict=True))
    known |= {name: name for name in names.events}
    for topic in chosen or ():
        if topic not in known:
            raise OperatorMistake(
                f"there is no topic {topic!r}; the topics are {', '.join(TOPICS)}"
            )
    return list(dict.fromkeys(known[topic] for topic in chosen)) if chosen else names.events


def _from_database(query: str, incomplete: str) -> list[tuple[str, str]]:
    with suppress(Exception, SystemExit):
        return asyncio.run(_asked(operations_settings(), query, incomplete))
    return []


async def _asked(
    settings: OperationsSettings, query: str, incomplete: str
) -> list[tuple[str, str]]:
    async with asyncio.timeout(COMPLETION_PATIENCE):
        connection = await asyncpg.connect(settings.database)
        try:
            rows = await connection.fetch(query, incomplete, COMPLETIONS)
        finally:
            connection.terminate()
    return [(row["value"], row["help"] or "") for row in rows]
