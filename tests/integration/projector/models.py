"""Looks at the read models, and compares them with a fold of the log."""

import json
from collections.abc import Sequence
from typing import Any

from schemas.events import Event
from services.core.domain.evolve import evolve
from services.core.domain.state import INITIAL_STATE, InfluencerStream, Job
from services.core.postgres import Pool, acquire
from services.core.readmodel.rows import influencer_row, job_row
from tests.reading import by_key
from tests.waiting import eventually


class ReadModels:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        async with acquire(self._pool) as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]

    async def count(self, table: str) -> int:
        (row,) = await self.fetch(f"select count(*) as rows from read_model.{table}")
        return int(row["rows"])

    async def has_rows(self, table: str, count: int, within: float = 30) -> None:
        async def reached() -> bool:
            return await self.count(table) >= count

        await eventually(f"{count} rows of {table}", reached, within)
        assert await self.count(table) == count

    async def sequences(self) -> dict[str, int]:
        rows = await self.fetch("select * from read_model.influencers")
        return {f"{r['organization_id']}/{r['influencer_id']}": r["sequence"] for r in rows}

    async def quarantine(self) -> list[dict[str, Any]]:
        return await self.fetch(
            "select * from read_model.quarantine order by stream_key, partition, record_offset"
        )

    async def assert_equal_a_fold_of(
        self, events: list[Event], uploads: Sequence[Event] = ()
    ) -> None:
        streams, jobs = folded(events)
        influencers = [influencer_row(s.influencer, s.sequence) for s in streams if s.influencer]
        assert await self._rows("influencers") == {
            (row.influencer_id, row.status, row.sequence, canonical(row.state))
            for row in influencers
        }
        assert await self._rows("jobs") == {
            (row.job_id, row.status, row.sequence, canonical(row.state))
            for row in map(job_row, jobs)
        }
        history = await self.fetch("select * from read_model.events")
        assert sorted(row["event_id"] for row in history) == sorted(
            event.id for event in (*events, *uploads)
        )

    async def _rows(self, table: str) -> set[tuple[str, str, int, str]]:
        id_column = "influencer_id" if table == "influencers" else "job_id"
        rows = await self.fetch(f"select * from read_model.{table}")
        return {
            (row[id_column], row["status"], row["sequence"], canonical(row["state"]))
            for row in rows
        }


def folded(events: list[Event]) -> tuple[list[InfluencerStream], list[Job]]:
    streams, jobs = [], {}
    for stream in by_key(events).values():
        state = INITIAL_STATE
        for event in stream:
            state = evolve(state, event)
            if state.job:
                jobs[state.job.job_id] = state.job
        streams.append(state)
    return streams, list(jobs.values())


def canonical(state: str) -> str:
    return json.dumps(json.loads(state), sort_keys=True)
