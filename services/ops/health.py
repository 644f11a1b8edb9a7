"""The parts of a running installation, and what is wrong with each."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka import TopicPartition

from services.core.errors import DependencyUnavailable
from services.core.eventlog.gauge import LogGauge
from services.core.eventlog.relay import LOCK_CLASS
from services.core.freshness import judged
from services.core.postgres import Connection
from services.core.readmodel.health import as_progress, in_words, read_rebuild
from services.ops import migrations
from services.ops.connections import database, kafka_admin
from services.ops.consumers import freshness_of_consumers
from services.ops.faults import CommandFault
from services.ops.lag import measure, outbox_depth
from services.ops.settings import OperationsSettings
from services.ops.topic_report import report_topics

State = Literal["ok", "wrong", "down"]
Answer = tuple[State, str, dict[str, Any]]

READ_LEADERS = """
select l.objid::int as shard, a.pid, a.client_addr::text as address, a.backend_start
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid = $1::bigint::oid
  and l.database = (select oid from pg_database where datname = current_database())
order by l.objid
"""
READ_SHARDS = "select shard_count from event_log.relay_configuration"
READ_QUARANTINE = """
select count(distinct (topic, stream_key)) as streams, count(*) as events
from read_model.quarantine where not repeated
"""
READ_PARKED_BY_CONTENT = """
select count(*) from content.subscriber_streams
where parked_kind is not null and parked_kind <> 'replay'
"""
READ_MOVES = """
select topic, partition, next_offset,
    extract(epoch from clock_timestamp() - updated_at)::float8 as still
from read_model.projection_offsets
"""
FIND_QUEUE = "select to_regclass('render_queue.pgqueuer') is not null"
READ_QUEUE = """
select replace(status::text, 'failed', 'unreadable') as status, count(*)
from render_queue.pgqueuer group by status
"""


@dataclass(frozen=True, slots=True)
class Part:
    """`says` is for people, `facts` for scripts."""

    name: str
    state: State
    says: str
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"state": self.state, "says": self.says, **self.facts}


async def parts(
    settings: OperationsSettings, max_lag: int, stuck_after: float, seconds: float
) -> list[Part]:
    """Every part, also when others are down; what has not answered in `seconds` is down.

    A projector that has events and has folded none for `stuck_after` seconds is stuck.
    Raises OperatorMistake when the environment doesn't say where they are.
    """
    _ = settings.database, settings.kafka
    ends = asyncio.get_running_loop().time() + seconds
    kafka_part, on_database = await asyncio.gather(
        _told("kafka", kafka(settings), ends), _database_parts(settings, ends)
    )
    found = [on_database[0], kafka_part, *on_database[1:]]
    if all(part.state == "ok" for part in found[:2]):
        found.append(await _told("projection", projection(settings, stuck_after), ends))
        found.append(await _told("lag", lag(settings, max_lag, stuck_after), ends))
    return found


async def _database_parts(settings: OperationsSettings, ends: float) -> list[Part]:
    questions = {
        "relay": relay,
        "outbox": outbox,
        "queue": queue,
        "quarantine": quarantine,
        "rebuild": rebuild,
    }
    found = [await _told("postgres", postgres(settings), ends)]
    if found[0].state == "ok":
        found += [
            await _told(name, _on_connection(settings, ask), ends)
            for name, ask in questions.items()
        ]
    return found


async def _on_connection(
    settings: OperationsSettings, ask: Callable[[Connection], Awaitable[Answer]]
) -> Answer:
    async with database(settings.database) as connection:
        return await ask(connection)


async def _told(name: str, question: Awaitable[Answer], ends: float) -> Part:
    try:
        async with asyncio.timeout_at(ends):
            return Part(name, *await question)
    except TimeoutError:
        return Part(name, "down", "no answer in time")
    except DependencyUnavailable as fault:
        return Part(name, "down", fault.reason)
    except CommandFault as fault:
        return Part(name, "wrong", str(fault))


async def postgres(settings: OperationsSettings) -> Answer:
    known = await migrations.status(settings.database)
    pending = [migration.name for migration in known if not migration.applied]
    if pending:
        return "wrong", f"not migrated: {', '.join(pending)}", {"pendingMigrations": pending}
    return "ok", f"migrated to {known[-1].version}", {"pendingMigrations": []}


async def kafka(settings: OperationsSettings) -> Answer:
    async with kafka_admin(settings.kafka) as client:
        reports = await report_topics(client, settings.topics, await _shards(settings))
    faults = {report.name: list(report.faults) for report in reports if report.faults}
    if faults:
        says = "; ".join(f"{name}: {', '.join(off)}" for name, off in faults.items())
        return "wrong", says, {"topicFaults": faults}
    return "ok", f"{len(reports)} topics as they must be", {"topicFaults": {}}


async def _shards(settings: OperationsSettings) -> int:
    try:
        async with database(settings.database) as connection:
            return await connection.fetchval(READ_SHARDS) or 1
    except (DependencyUnavailable, CommandFault):
        return 1


async def relay(connection: Connection) -> Answer:
    shards = await connection.fetchval(READ_SHARDS)
    rows = await connection.fetch(READ_LEADERS, LOCK_CLASS)
    leaders = [{"shard": row["shard"], "backendPid": row["pid"]} for row in rows]
    facts = {"shards": shards, "leaders": leaders}
    if shards is None:
        return "wrong", "no relay has run yet", facts
    missing = sorted(set(range(shards)) - {row["shard"] for row in rows})
    if missing:
        return "wrong", f"nobody leads shard {', '.join(map(str, missing))}", facts
    return "ok", f"{shards} of {shards} shards led", facts


async def outbox(connection: Connection) -> Answer:
    waiting = await outbox_depth(connection)
    says = f"{waiting.depth} events waiting"
    if waiting.depth:
        says += f", the oldest {waiting.age_seconds:.1f} s old"
    return ("wrong" if waiting.age_seconds > 30 else "ok"), says, waiting.as_json()


async def queue(connection: Connection) -> Answer:
    if not await connection.fetchval(FIND_QUEUE):
        return "wrong", "there is no render queue", {}
    counts = {row["status"]: row["count"] for row in await connection.fetch(READ_QUEUE)}
    says = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "empty"
    return ("wrong" if "unreadable" in counts else "ok"), says, {"entries": counts}


async def quarantine(connection: Connection) -> Answer:
    row = await connection.fetchrow(READ_QUARANTINE)
    streams, events = (row["streams"], row["events"]) if row else (0, 0)
    of_content = await connection.fetchval(READ_PARKED_BY_CONTENT)
    says = f"{streams} streams, {events} events"
    if of_content:
        says += f"; {of_content} streams parked by content"
    facts = {"streams": streams, "events": events, "parkedByContent": of_content}
    return ("wrong" if streams or of_content else "ok"), says, facts


async def rebuild(connection: Connection) -> Answer:
    under_way = await read_rebuild(connection)
    if under_way is None:
        return "ok", "none under way", {"rebuilding": None}
    state: State = "ok" if under_way.state == "running" else "wrong"
    return state, in_words(under_way), {"rebuilding": as_progress(under_way)}


async def projection(settings: OperationsSettings, stuck_after: float) -> Answer:
    """As the log and the read models show it, whatever the projector says, or none."""
    gauge = LogGauge(settings.kafka, settings.topics.events)
    try:
        partitions = await gauge.partitions()
        async with database(settings.database) as connection:
            moved = {
                TopicPartition(row["topic"], row["partition"]): row
                for row in await connection.fetch(READ_MOVES)
            }
        positions = {p: moved[p]["next_offset"] if p in moved else 0 for p in partitions}
        behind = await gauge.behind(positions)
    finally:
        await gauge.stop()
    still = {p: moved[p]["still"] if p in moved else float("inf") for p in partitions}
    freshness = judged(behind, still, time.time(), stuck_after)
    wrong = freshness.state == "stuck"
    return ("wrong" if wrong else "ok"), str(freshness), {"freshness": freshness.as_json()}


async def lag(settings: OperationsSettings, max_lag: int, stuck_after: float) -> Answer:
    measured = await measure(settings)
    freshness = await freshness_of_consumers(settings, measured, stuck_after)
    ours = {name: measured.behind(name) for name in ("projector", "renderer", "content")}
    says = ", ".join(f"{name} {behind}" for name, behind in ours.items()) + " events behind"
    for name, seen in freshness.items():
        if seen.state != "fresh":
            says += f"; {name} {seen}"
    is_stuck = any(freshness[name].state == "stuck" for name in ours if name in freshness)
    wrong = is_stuck or max(ours.values()) > max_lag
    states = {name: seen.as_json() for name, seen in freshness.items()}
    return ("wrong" if wrong else "ok"), says, {**ours, "consumers": states}
