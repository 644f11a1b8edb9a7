"""Events whose sequence is taken already: the same event on the log again, or another one.

The append writes states ahead of the log, so they don't tell; the rows of events do, which only a
fold of the log writes. They are looked at where something says that one is there already.
"""

from collections.abc import Iterable
from typing import Protocol

from services.core.postgres import Connection
from services.core.readmodel.records import LogRecord
from services.core.readmodel.rows import EventRow, columns
from services.core.readmodel.schema import in_schema

REPEATED = "the event is on the log more than once"

FIND = """
select organization_id::text, stream_id, sequence, topic, partition, record_offset, event_id, type,
    version, project_id::text, occurred_at, source, correlation_id, causation_id, traceparent,
    data::text
from read_model.events
join unnest($1::uuid[], $2::text[], $3::bigint[]) as wanted(organization_id, stream_id, sequence)
    using (organization_id, stream_id, sequence)
"""


class Written(Protocol):
    """The events that were folded before."""

    def has(self, row: EventRow) -> bool | None:
        """Whether the event with that sequence is this one; None when there is none, or it is this
        very record."""
        ...


class WrittenRows:
    def __init__(self, rows: Iterable[EventRow] = ()) -> None:
        self._rows = {row[:3]: row for row in rows}

    def has(self, row: EventRow) -> bool | None:
        found = self._rows.get(row[:3])
        return None if found is None or found == row else is_same_event(found, row)

    def add(self, row: EventRow) -> None:
        self._rows[row[:3]] = row


def is_same_event(one: EventRow, other: EventRow) -> bool:
    """In all but its place on the log."""
    return one[:3] == other[:3] and one[6:] == other[6:]


async def find_written(
    connection: Connection, records: Iterable[LogRecord], schema: str
) -> WrittenRows:
    """The rows that there are of the sequences of `records`."""
    events = (record.event for record in records)
    wanted = {(e.organization_id, e.subject, e.sequence) for e in events if e}
    rows = await connection.fetch(in_schema(FIND, schema), *columns(wanted, 3))
    return WrittenRows(EventRow(*row) for row in rows)
