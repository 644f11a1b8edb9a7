"""Outbox rows that become visible after rows with larger ids: transactions end in any order."""

import asyncio

from deploy.local.ports import LOOPBACK
from tests.faults.arena import Arena
from tests.faults.scenario import Scenario
from tests.waiting import eventually


async def commit_in_reverse(arena: Arena, faults: int) -> None:
    """A replica has written its row and stops right before its commit; meanwhile others commit
    rows with larger ids, and they are published."""
    for _ in range(faults):
        twin = arena.system.twin_of(arena.system.parts["api"])
        twin.start(STOP_AT="append.before_commit")
        await twin.until_ready()
        influencer_id = await arena.load.create()
        base_url = f"http://{LOOPBACK}:{twin.environment['API_PORT']}"
        held = asyncio.create_task(
            arena.load.rename(f"/v1/influencers/{influencer_id}", "held up", base_url)
        )
        await eventually("the replica stops", twin.is_stopped)
        await arena.until_accepted(5)
        twin.process.resume()
        arena.broke("outbox rows commit in the reverse order of their ids")
        await held
        await asyncio.to_thread(twin.process.stop, 15)


SCENARIOS = [Scenario("reversed-commits", commit_in_reverse, short=1, long=7)]
