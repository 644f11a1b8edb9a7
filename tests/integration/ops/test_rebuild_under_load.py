"""Rebuilds while everybody reads and writes: killed anywhere, no reader notices."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from services.core.postgres import Pool
from tests.integration.eventlog.conftest import Tenant
from tests.integration.ops.history import projecting, relaying
from tests.integration.ops.installation import Installation
from tests.integration.ops.load import Load, loading
from tests.integration.ops.polling import Readers, reading
from tests.waiting import eventually

PLACES = (
    "start",
    "fill",
    "filled",
    "index-built",
    "catch-up",
    "compare",
    "armed",
    "locked",
    "swapped",
)


@dataclass
class Busy:
    installation: Installation
    pool: Pool
    load: Load
    readers: Readers

    async def lives(self, more: int) -> None:
        wanted = self.load.lives + more

        async def lived() -> bool:
            return bool(self.load.lives >= wanted)

        await eventually(f"{more} more streams", lived)


@pytest.fixture
async def busy(empty: Installation, pool: Pool) -> AsyncIterator[Busy]:
    """Everything runs; when it ends, what is live is what the log says."""
    tenant = Tenant(str(uuid4()), str(uuid4()))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(empty))
        await stack.enter_async_context(projecting(empty, pool))
        async with (
            loading(pool, tenant, at_once=2, pause=0.01) as load,
            reading(pool, tenant.organization_id) as readers,
        ):
            busy = Busy(empty, pool, load, readers)
            await busy.lives(5)
            yield busy
        await eventually("all is projected", lambda: _is_projected(pool))
        assert await _is_empty(pool, "read_model.quarantine")
    answer = await empty.ctl("rebuild", "--dry-run", "--json")
    assert answer.status == 0, answer
    assert (answer.json["waiting"], answer.json["lagging"]) == (0, 0)


async def test_rebuilds_and_a_rollback_under_load(busy: Busy) -> None:
    for arguments in (["--yes"], ["--only", "jobs", "--yes"], ["rollback", "--yes"]):
        answer = await busy.installation.ctl_process("rebuild", *arguments, "--json")
        assert answer.status == 0, answer
        assert answer.json["outcome"] == "swapped"
        assert answer.json["differenceCount"] == 0
        await busy.lives(3)


async def test_killed_anywhere_it_goes_on_when_it_is_called_again(busy: Busy) -> None:
    for place in PLACES:
        killed = await busy.installation.ctl_process(
            "rebuild", "--yes", "--workers", "1", fail_at=f"rebuild.{place}"
        )
        assert killed.status == -signal.SIGKILL, (place, killed)
        await busy.lives(1)
    answer = await busy.installation.ctl_process("rebuild", "--yes", "--json")
    assert answer.status == 0, answer
    assert answer.json["outcome"] == "swapped"


async def test_one_model_and_a_rollback_killed_anywhere(busy: Busy) -> None:
    swapped = await busy.installation.ctl_process("rebuild", "--yes", "--json")
    assert swapped.status == 0, swapped
    for arguments, places in (
        (("rollback",), ("catch-up", "armed", "locked", "swapped")),
        (("--only", "jobs"), ("fill", "merge", "locked")),
    ):
        for place in places:
            killed = await busy.installation.ctl_process(
                "rebuild", *arguments, "--yes", fail_at=f"rebuild.{place}"
            )
            assert killed.status == -signal.SIGKILL, (arguments, place, killed)
            await busy.lives(1)
        answer = await busy.installation.ctl_process("rebuild", *arguments, "--yes", "--json")
        assert answer.status == 0, answer
        assert answer.json["outcome"] == "swapped"


ALL_IS_PROJECTED = """
select (select count(*) from read_model.events) =
    (select coalesce(sum(sequence), 0) from event_log.streams)
"""


async def _is_projected(pool: Pool) -> bool:
    return bool(await pool.fetchval(ALL_IS_PROJECTED))


async def _is_empty(pool: Pool, table: str) -> bool:
    return not await pool.fetchval(f"select exists (select from {table})")
