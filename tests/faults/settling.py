"""After the last fault the system comes back to rest by itself, and soon."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from deploy.local.stack import Stack
from services.core.errors import DependencyUnavailable
from services.core.postgres import Pool, acquire
from tests.faults.operator_commands import CommandFailed, Place, lags
from tests.faults.rules import broken
from tests.faults.system import System
from tests.waiting import NeverHappened, eventually

SETTLES_WITHIN = 30.0
"""Seconds after the last fault in which nothing waits any more, without a hand."""
JOBS_END_WITHIN = 60.0
READ_WITHIN = 10.0
"""Seconds that a consumer may take for what is on the log, however late it came there."""
BACKLOG = """
select
    (select count(*) from event_log.outbox) as outbox,
    (select count(*) from event_log.streams s
     left join read_model.influencers i
       on i.organization_id = s.organization_id and i.influencer_id = s.stream_id
     where s.state ? 'influencer' and i.sequence is distinct from s.sequence) as behind,
    (select coalesce(sum(sequence), 0) from event_log.streams)
        - (select count(*) from read_model.events) as unprojected
"""
RUNNING = """
select count(*) as jobs from event_log.streams where state -> 'job' ->> 'status' = 'running'
"""
AWAY = (OSError, TimeoutError, DependencyUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError)

Left = Mapping[str, int]


class Settling:
    """Judged from `faults_ended` on, a time of the event loop's clock.

    Whatever jobs still run, within `settles_within` seconds there is a moment in which the outbox
    is empty and everything is projected, and every consumer comes by what was on the log by then.
    When the last job has ended, nobody has anything left to do soon after.
    """

    def __init__(
        self,
        stack: Stack,
        system: System,
        pool: Pool,
        *,
        faults_ended: float,
        settles_within: float = SETTLES_WITHIN,
        jobs_end_within: float = JOBS_END_WITHIN,
    ) -> None:
        self._stack = stack
        self._system = system
        self._pool = pool
        self._settled_by = faults_ended + settles_within
        self._jobs_ended_by = faults_ended + jobs_end_within

        self._marks: dict[Place, int] = {}

    async def violations(self) -> list[str]:
        stays = await self._never("backlog-stays", self._backlog, self._settled_by)
        if not await self._jobs():
            return stays or await self._all_is_done(self._settled_by)
        late = await self._never("consumer-behind", self._behind_marks, _at_least(self._settled_by))
        run_on = await self._never("jobs-run-on", self._jobs, self._jobs_ended_by)
        return (stays + late + run_on) or await self._all_is_done(0)

    async def _all_is_done(self, by: float) -> list[str]:
        """Now that no job runs."""
        stays = await self._never("backlog-stays", self._backlog, _at_least(by))
        return stays or await self._never("consumer-behind", self._behind, _at_least(by))

    async def _never(self, rule: str, look: Callable[[], Awaitable[Left]], by: float) -> list[str]:
        """A violation when there is something left whenever `look` does, the last time at `by`."""
        left: Left = {}

        async def is_gone() -> bool:
            nonlocal left
            left = await look()
            return not left

        within = max(0.0, by - asyncio.get_running_loop().time())
        try:
            await eventually(rule, is_gone, within)
        except NeverHappened:
            return [broken(rule, "at last", left)]
        return []

    async def _backlog(self) -> Left:
        return await self._counted(BACKLOG)

    async def _jobs(self) -> Left:
        return await self._counted(RUNNING)

    async def _counted(self, query: str) -> Left:
        try:
            async with acquire(self._pool) as connection:
                row = await connection.fetchrow(query)
        except AWAY:
            return {"postgres is away": 1}
        return {name: count for name, count in (row or {}).items() if count}

    async def _behind_marks(self) -> Left:
        """What consumers have not come by of what was there when this was asked first."""
        return await self._lagging(lambda place: self._marks.get(place, 0))

    async def _behind(self) -> Left:
        return await self._lagging(lambda place: None)

    async def _lagging(self, mark_of: Callable[[Place], int | None]) -> Left:
        """Events by consumer, of partitions whose position is before the mark, if there is one."""
        try:
            found = await lags(self._stack, self._system)
        except CommandFailed as failed:
            return {str(failed): 1}
        self._marks = self._marks or {place: reached.end for place, reached in found.items()}
        left: Counter[str] = Counter()
        for place, reached in found.items():
            mark = mark_of(place)
            if reached.behind and (mark is None or reached.position < mark):
                left[place.consumer] += reached.behind
        return left


def _at_least(by: float) -> float:
    return max(by, asyncio.get_running_loop().time() + READ_WITHIN)
