"""How the read models are doing: what projectors report, what is parked, whether one rebuilds."""

from dataclasses import dataclass
from typing import Any

from services.core.clock import timestamp
from services.core.freshness import Freshness
from services.core.postgres import Connection
from services.core.readmodel.rebuild.record import Recorded, last_recorded

HEARD_WITHIN = "15 seconds"
"""A projector that has said nothing for so long is gone."""

REPORT = """
with forgotten as (
    delete from control.projection_reports where reported_at < now() - interval '1 hour'
)
insert into control.projection_reports (replica, state, events, seconds)
values ($1, $2, $3, $4)
on conflict (replica) do update
set state = excluded.state, events = excluded.events, seconds = excluded.seconds,
    reported_at = now()
"""
READ = f"""
select state, sum(events)::bigint as events, max(seconds) as seconds
from control.projection_reports
where reported_at > now() - interval '{HEARD_WITHIN}'
group by state
order by array_position(array['stuck', 'lagging', 'unknown', 'fresh'], state)
"""
COUNT_PARKED = """
select count(*) from (
    select distinct topic, stream_key from read_model.quarantine where not repeated
) as parked
"""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is parked and whether a rebuild is under way: beside how fresh the read models are."""

    quarantined_streams: int = 0
    rebuild: Recorded | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "quarantinedStreams": self.quarantined_streams,
            "rebuilding": as_progress(self.rebuild) if self.rebuild else None,
        }


async def read_upkeep(connection: Connection) -> Upkeep:
    return Upkeep(await connection.fetchval(COUNT_PARKED), await read_rebuild(connection))


async def read_rebuild(connection: Connection) -> Recorded | None:
    """The rebuild or rollback that is under way, was interrupted, or rests with differences."""
    last = await last_recorded(connection)
    return last if last and last.is_under_way else None


def as_progress(rebuild: Recorded) -> dict[str, Any]:
    """`share` is of its phase."""
    return {
        "kind": rebuild.kind,
        "phase": rebuild.phase,
        "share": _share(rebuild),
        "startedAt": timestamp(rebuild.started_at),
        "interrupted": rebuild.state == "interrupted",
        "differences": rebuild.differences,
    }


def in_words(rebuild: Recorded) -> str:
    if rebuild.state == "compared":
        found = f"{rebuild.differences or 0:,} rows differ"
        return f"{rebuild.kind} compared: {found}; it is kept until it is called again or aborted"
    doing = f"{rebuild.kind} under way: {rebuild.phase}, {_share(rebuild):.0%}"
    interrupted = rebuild.state == "interrupted"
    return f"{doing}; interrupted, nobody is at it" if interrupted else doing


def _share(rebuild: Recorded) -> float:
    if not rebuild.offsets_all:
        return 0.0
    return round(min(rebuild.offsets_done / rebuild.offsets_all, 1.0), 4)


async def report_freshness(connection: Connection, replica: str, freshness: Freshness) -> None:
    await connection.execute(REPORT, replica, freshness.state, freshness.events, freshness.seconds)


async def read_reports(connection: Connection) -> dict[str, Any]:
    """The worst that a projector reports of itself; `silent` when none has said anything lately."""
    rows = await connection.fetch(READ)
    if not rows:
        return {"state": "silent", "events": None, "seconds": None}
    return {
        "state": rows[0]["state"],
        "events": sum(row["events"] for row in rows),
        "seconds": round(max(row["seconds"] for row in rows), 3),
    }
