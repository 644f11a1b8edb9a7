"""Where a stream is on the log: told by its key, which Postgres can say, or else by a search."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from services.core.domain.aggregates import aggregate_of
from services.core.errors import DependencyUnavailable
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Connection
from services.ops.connections import database
from services.ops.faults import CommandFault
from services.ops.settings import OperationsSettings

# From one organization to the next by the index: few organizations, millions of streams.
FIND_ORGANIZATIONS = """
with recursive organizations as (
    (select organization_id from event_log.streams order by organization_id limit 1)
    union all
    select (select s.organization_id from event_log.streams s
            where s.organization_id > o.organization_id order by s.organization_id limit 1)
    from organizations o where o.organization_id is not null
)
select o.organization_id::text, $1 as stream_id,
       (select e.record_offset from read_model.events e
        where e.organization_id = o.organization_id and e.stream_id = $1 and e.sequence = 1)
       as first_offset
from organizations o
where exists (select from event_log.streams s
              where s.organization_id = o.organization_id and s.stream_id = $1)
order by 1
"""
FIND_JOB = """
select j.organization_id::text, j.stream_id, e.record_offset as first_offset
from read_model.jobs j
left join read_model.events e
    on e.organization_id = j.organization_id and e.stream_id = j.stream_id and e.sequence = 1
where j.job_id = $1
"""

_partition = DefaultPartitioner()


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """The same id in two organizations is two streams.

    `first_offset` is where the read models have seen its first event: a hint, to be looked at.
    """

    organization_id: str
    stream_id: str
    first_offset: int | None = field(default=None, compare=False)

    @property
    def key(self) -> bytes:
        return f"{self.organization_id}/{self.stream_id}".encode()

    def among(self, partitions: Sequence[TopicPartition]) -> TopicPartition:
        """The one of its topic's `partitions`, all of them and in order, that it is on."""
        found: TopicPartition = _partition(self.key, partitions, partitions)
        return found


def topic_of(stream_id: str, topics: TopicNames) -> str:
    return topics.named(aggregate_of(stream_id).topic)


async def find_streams(
    settings: OperationsSettings, stream_id: str, organization_id: str | None = None
) -> list[StreamAddress]:
    """The streams with that id; none where only the log itself can say.

    Nobody is asked when the organization is known. A Postgres that is away, empty or not there yet
    is no fault: what happened must be seen then most of all.
    """
    if organization_id is not None:
        return [StreamAddress(organization_id, stream_id)]
    return await _asked(settings, FIND_ORGANIZATIONS, stream_id)


async def find_stream_of_job(settings: OperationsSettings, job_id: str) -> list[StreamAddress]:
    """The one stream that the job is in; none where only the log itself can say."""
    return await _asked(settings, FIND_JOB, job_id)


async def find_stream_of_job_on(connection: Connection, job_id: str) -> StreamAddress | None:
    found = await _found(connection, FIND_JOB, job_id)
    return found[0] if found else None


async def _asked(settings: OperationsSettings, query: str, argument: str) -> list[StreamAddress]:
    try:
        async with database(settings.database) as connection:
            return await _found(connection, query, argument)
    except (DependencyUnavailable, CommandFault):
        return []


async def _found(connection: Connection, query: str, argument: str) -> list[StreamAddress]:
    rows = await connection.fetch(query, argument)
    return [
        StreamAddress(row["organization_id"], row["stream_id"], row["first_offset"]) for row in rows
    ]
