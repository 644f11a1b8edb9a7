"""What is written down about rebuilds for others (`control.rebuilds`), and that one runs at a time.

Health reads the row whose `ended_at` is null: a rebuild is under way, or was interrupted when no
process holds the advisory lock. `phase` says what it does, `offsets_done` of `offsets_all` how far
it is, `heard_at` when it last said so.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.readmodel.rebuild.filling import APPLICATION, application_of
from services.core.readmodel.schema import NEXT, PREVIOUS

LOCK_CLASS, LOCK = 7, 1
OUR_NAMES = [APPLICATION, application_of(NEXT), application_of(PREVIOUS)]
BEAT = 1.0
RESTS = ("equal", "different")
"""Phases in which a rebuild has ended its work, and keeps what it has built for the next run."""

TAKE_LOCK = "select pg_try_advisory_lock($1, $2)"
FREE_LOCK = "select pg_advisory_unlock($1, $2)"
LOCK_PATIENCE = 2.0
"""Seconds: a backend whose process was killed may notice a little later."""

# Whoever holds the lock is alone: what goes by these names is left of a process that was killed.
END_ORPHANS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name = any($1)
"""

BEGIN = """
insert into control.rebuilds (kind, only_model, fingerprint, phase)
values ($1, $2, $3, 'start') returning rebuild_id
"""
LAST = """
select *, exists (
    select from pg_locks
    where locktype = 'advisory' and classid = $1 and objid = $2 and granted
      and database = (select oid from pg_database where datname = current_database())
) as has_process
from control.rebuilds order by rebuild_id desc limit 1
"""
SAY = """
update control.rebuilds
set phase = $2, offsets_done = $3, offsets_all = $4, heard_at = clock_timestamp()
where rebuild_id = $1 and ended_at is null
"""
REST = """
update control.rebuilds set phase = $2, differences = $3, heard_at = clock_timestamp()
where rebuild_id = $1 and ended_at is null
"""
END = """
update control.rebuilds
set phase = $2, differences = $3, heard_at = clock_timestamp(), ended_at = clock_timestamp()
where rebuild_id = $1 and ended_at is null
"""


class RebuildUnderWay(Exception):
    """Another process rebuilds, or rolls back."""

    def __init__(self) -> None:
        super().__init__("another process is rebuilding or rolling back")


@dataclass(frozen=True, slots=True)
class Recorded:
    """The last rebuild or rollback. Without `has_process`, one under way was interrupted."""

    rebuild_id: int
    kind: str
    only_model: str | None
    fingerprint: str
    phase: str
    offsets_done: int
    offsets_all: int
    differences: int | None
    started_by: str
    started_at: datetime
    heard_at: datetime
    ended_at: datetime | None
    has_process: bool

    @property
    def is_under_way(self) -> bool:
        return self.ended_at is None

    def as_json(self) -> dict[str, Any]:
        return {
            "rebuildId": self.rebuild_id,
            "kind": self.kind,
            "onlyModel": self.only_model,
            "phase": self.phase,
            "state": self.state,
            "offsetsDone": self.offsets_done,
            "offsetsAll": self.offsets_all,
            "differences": self.differences,
            "startedBy": self.started_by,
            "startedAt": self.started_at.isoformat(),
            "heardAt": self.heard_at.isoformat(),
            "endedAt": self.ended_at.isoformat() if self.ended_at else None,
        }

    @property
    def state(self) -> str:
        """`running`, `interrupted`, `compared` (it rests with what it has built) or `ended`."""
        if not self.is_under_way:
            return "ended"
        if self.has_process:
            return "running"
        return "compared" if self.phase in RESTS else "interrupted"


async def last_recorded(connection: Connection) -> Recorded | None:
    row = await connection.fetchrow(LAST, LOCK_CLASS, LOCK)
    return Recorded(**row) if row else None


@asynccontextmanager
async def alone(connection: Connection) -> AsyncIterator[None]:
    """Holds the lock of rebuilds; it goes with the connection at the latest.

    Raises RebuildUnderWay.
    """
    await _take_lock(connection)
    try:
        await connection.execute(END_ORPHANS, OUR_NAMES)
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(FREE_LOCK, LOCK_CLASS, LOCK)


async def _take_lock(connection: Connection) -> None:
    given_up = asyncio.get_running_loop().time() + LOCK_PATIENCE
    while not await connection.fetchval(TAKE_LOCK, LOCK_CLASS, LOCK):
        if asyncio.get_running_loop().time() > given_up:
            raise RebuildUnderWay
        await asyncio.sleep(0.1)


class Record:
    """The row of the rebuild under way; `connection` is for this alone."""

    def __init__(self, connection: Connection, rebuild_id: int) -> None:
        self.rebuild_id = rebuild_id
        self.offsets_done = 0
        self.offsets_all = 0
        self._phase = "start"
        self._connection = connection
        self._turn = asyncio.Lock()

    async def enter(self, phase: str, offsets_all: int = 0) -> None:
        self._phase, self.offsets_done, self.offsets_all = phase, 0, offsets_all
        await self._say()
        fail_point(f"rebuild.{phase}")

    async def rest(self, phase: str, differences: int) -> None:
        """Compared and kept: nobody is at it until the next run goes on with it."""
        self._phase = phase
        async with self._turn:
            await self._connection.execute(REST, self.rebuild_id, phase, differences)

    async def end(self, phase: str, differences: int | None = None) -> None:
        async with self._turn:
            await self._connection.execute(END, self.rebuild_id, phase, differences)

    async def beat(self) -> None:
        """Says again and again how far it is, for ever."""
        while True:
            await asyncio.sleep(BEAT)
            await self._say()

    async def _say(self) -> None:
        async with self._turn:
            await self._connection.execute(
                SAY, self.rebuild_id, self._phase, self.offsets_done, self.offsets_all
            )


async def begin(
    connection: Connection, kind: str, only_model: str | None, fingerprint: str
) -> Record:
    rebuild_id = await connection.fetchval(BEGIN, kind, only_model, fingerprint)
    return Record(connection, rebuild_id)


async def end_interrupted(connection: Connection, recorded: Recorded) -> None:
    await connection.execute(END, recorded.rebuild_id, "aborted", None)
