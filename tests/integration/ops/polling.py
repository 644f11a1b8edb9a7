"""Readers that ask for the same rows again and again: no read may fail, none may go back."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.core.postgres import Pool, acquire

READS = {
    "influencer": """
        select sequence from read_model.influencers
        where organization_id = $1 and influencer_id = $2
    """,
    "jobs": """
        select coalesce(sum(sequence), 0)::bigint from read_model.jobs
        where organization_id = $1 and influencer_id = $2
    """,
    "events": """
        select count(*) from read_model.events where organization_id = $1 and stream_id = $2
    """,
    "images": """
        select count(*) from read_model.media_assets
        where organization_id = $1 and influencer_id = $2
    """,
}
PAUSE = 0.02
"""Seconds between two rounds, which leave the processors to others too."""
STREAMS = """
select stream_id from event_log.streams
where organization_id = $1 and stream_id like 'inf%' order by stream_id desc limit 40
"""


@dataclass
class Readers:
    """`seen` is what was answered, by what was asked; `faults` what should not have been."""

    organization_id: str
    reads: int = 0
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def poll(self, pool: Pool, seed: int) -> None:
        chance = random.Random(seed)
        while True:
            async with acquire(pool) as connection:
                streams = await connection.fetch(STREAMS, self.organization_id)
            for _ in range(20 if streams else 0):
                stream_id = chance.choice(streams)["stream_id"]
                for what, query in READS.items():
                    await self._read(pool, what, query, stream_id)
            await asyncio.sleep(PAUSE)

    async def _read(self, pool: Pool, what: str, query: str, stream_id: str) -> None:
        known = self.seen.get((what, stream_id), 0)  # answered before this read begins
        try:
            async with acquire(pool) as connection:
                answer = await connection.fetchval(query, self.organization_id, stream_id) or 0
        except Exception as fault:
            self.faults.append(f"{what} of {stream_id}: {type(fault).__name__}: {fault}")
            return
        self.reads += 1
        if answer < known:
            self.faults.append(f"{what} of {stream_id} went back from {known} to {answer}")
        seen = self.seen.get((what, stream_id), 0)
        self.seen[what, stream_id] = max(seen, answer)


@asynccontextmanager
async def reading(pool: Pool, organization_id: str, at_once: int = 2) -> AsyncIterator[Readers]:
    """Reads until the block ends; then nothing may have failed or gone back."""
    readers = Readers(organization_id)
    tasks = [asyncio.create_task(readers.poll(pool, seed)) for seed in range(at_once)]
    try:
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not readers.faults, readers.faults[:5]
    assert readers.reads > 0
