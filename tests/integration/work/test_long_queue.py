"""A queue of tens of thousands: nothing looks at all of it (`make bench` measures 100,000)."""

from uuid import uuid4

import pytest

from services.core.postgres import Pool, acquire
from services.core.work.queue import TAKE_TURN, WorkQueue
from services.core.work.render_queue import PLACE, RenderTask
from tests.bench.work_queue import fill
from tests.integration.work.test_turns import Queue, add, take

LENGTH = 20_000
UNTIMED = "explain (analyze, costs off, timing off, summary off)"


@pytest.fixture
async def long(pool: Pool) -> Queue:
    await fill(pool, LENGTH)
    return WorkQueue[RenderTask](pool, PLACE, lease=60)


async def test_a_third_organization_has_its_share_at_once(long: Queue) -> None:
    await take(long, 6)
    newcomer = str(uuid4())
    await add(long, newcomer, 20)
    assert 9 <= (await take(long, 30)).count(newcomer) <= 11


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_taking_and_adding_look_at_few_rows(long: Queue, pool: Pool, mode: str) -> None:
    claim = long.claim(2)
    for statement, values in (
        (claim.sql, claim.args),
        (TAKE_TURN, (PLACE.schema, str(uuid4()))),
    ):
        plan = await explained(pool, mode, statement, values)
        assert "Seq Scan on pgqueuer" not in plan, plan
        assert max(rows_in(plan)) < 20, plan


async def explained(pool: Pool, mode: str, statement: str, values: tuple[object, ...]) -> str:
    async with acquire(pool) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"set local plan_cache_mode = {mode}")
        rows = await connection.fetch(f"{UNTIMED} {statement}", *values)
        await transaction.rollback()
    return "\n".join(row[0] for row in rows)


def rows_in(plan: str) -> list[float]:
    """Of every node: what it gave, and what it looked at in vain."""
    words = plan.replace("rows=", "\nrows=").replace("Removed by Filter: ", "\nrows=").split("\n")
    return [float(word.split()[0].removeprefix("rows=")) for word in words if word[:5] == "rows="]
