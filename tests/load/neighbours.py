"""Two organizations: what one can do to the other by asking for as much as it can."""

import asyncio
import statistics
from dataclasses import dataclass, replace

from services.core.controlplane import create_key, create_organization, create_project
from services.core.postgres import acquire, open_pool
from tests.faults.system import System
from tests.load.generator import IDS, Offer, Outcome, offered
from tests.load.overload import creating

NOISY_CONNECTIONS = 64
BEGINS_WITHIN = 15.0


@dataclass(frozen=True)
class Pair:
    """The quiet organization, alone and beside the noisy one."""

    alone: Outcome
    beside: Outcome
    noisy: Outcome

    def ratio(self, part: float) -> float:
        status = self.alone.accepted
        return self.beside.quantile(status, part) / self.alone.quantile(status, part)


async def another(system: System) -> Offer:
    """Creates of an organization that was made for it, which asks for little."""
    pool = await open_pool(system.database_url, size=2, application="test")
    try:
        async with acquire(pool) as connection:
            organization_id = await create_organization(connection, "Another")
            project_id = await create_project(connection, organization_id, "Another")
            api_key, _ = await create_key(
                connection,
                IDS,
                organization_id=organization_id,
                name="another",
                scopes=["*"],
                tier="internal",
            )
    finally:
        pool.terminate()
    path = f"/v1/projects/{project_id}/influencers"
    return creating(system, path=path, api_key=api_key, connections=2, pause=0.01, seconds=3.0)


def reading(offer: Offer) -> Offer:
    """Asking for its project in place of creates."""
    return replace(offer, body=None, path=offer.path.removesuffix("/influencers"))


async def neighbours(quiet: Offer, noisy: Offer, rounds: int) -> list[Pair]:
    """`quiet` alone and beside `noisy`, in turns, so that what else the machine does hits both."""
    return [await _pair(quiet, replace(noisy, seconds=quiet.seconds + 2)) for _ in range(rounds)]


async def _pair(quiet: Offer, noisy: Offer) -> Pair:
    alone = await offered(quiet)
    at_full_blast = asyncio.Event()
    noise = asyncio.create_task(offered(noisy, at_full_blast))
    async with asyncio.timeout(BEGINS_WITHIN):
        await at_full_blast.wait()
    beside = await offered(quiet)
    return Pair(alone, beside, await noise)


def median_ratio(pairs: list[Pair], part: float) -> float:
    return float(statistics.median(pair.ratio(part) for pair in pairs))
