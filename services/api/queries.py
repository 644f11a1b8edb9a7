"""The api's reads: one statement each, always within one organization."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import orjson

from services.api.pagination import BEFORE_ALL, PageRequest, Position
from services.core.controlplane import Project
from services.core.domain.state import Influencer, Job
from services.core.postgres import Connection

FIND_INFLUENCER = """
select state, sequence from read_model.influencers
where organization_id = $1 and influencer_id = $2 and status <> 'deleted'
"""

FIND_JOB = """
select state from read_model.jobs where job_id = $2 and organization_id = $1
"""

# What holds the sequence of a stream: the row of its influencer, or of its job.
FIND_POSITIONS = {
    "influencer": """
select sequence from read_model.influencers where organization_id = $1 and influencer_id = $2
""",
    "job": """
select sequence from read_model.jobs where organization_id = $1 and job_id = $2
""",
}

# An `or` that lets a filter be absent may cost Postgres the range it searches.
_LIST_INFLUENCERS = """
select influencer_id, created_at, state from read_model.influencers
where organization_id = $1 and project_id = $2 and status <> 'deleted' {of_status}
  and (created_at, influencer_id) < ($3, $4)
order by created_at desc, influencer_id desc
limit $5
"""
LIST_INFLUENCERS = _LIST_INFLUENCERS.format(of_status="")
LIST_INFLUENCERS_OF_STATUS = _LIST_INFLUENCERS.format(of_status="and status = $6")

_LARGEST_UUID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

LIST_PROJECTS = """
select * from control.projects
where organization_id = $1
  and (created_at, project_id) < ($2, $3::uuid)
order by created_at desc, project_id desc
limit $4
"""

FIND_ASSETS = """
select asset_id, state from read_model.media_assets
where organization_id = $1 and project_id = $2 and asset_id = any($3::text[])
"""


class InfluencerRecord(NamedTuple):
    influencer: Influencer
    sequence: int


async def find_influencer(
    connection: Connection, organization_id: str, influencer_id: str
) -> InfluencerRecord | None:
    row = await connection.fetchrow(FIND_INFLUENCER, organization_id, influencer_id)
    if row is None:
        return None
    return InfluencerRecord(Influencer.model_validate_json(row["state"]), row["sequence"])


async def find_job(connection: Connection, organization_id: str, job_id: str) -> Job | None:
    state = await connection.fetchval(FIND_JOB, organization_id, job_id)
    return Job.model_validate_json(state) if state else None


async def find_position(
    connection: Connection, kind: str, organization_id: str, identifier: str
) -> int:
    """The sequence that the row of that kind, `influencer` or `job`, has; 0 without a row."""
    sequence = await connection.fetchval(FIND_POSITIONS[kind], organization_id, identifier)
    return int(sequence or 0)


async def list_influencers(
    connection: Connection,
    organization_id: str,
    project_id: str,
    status: str | None,
    page: PageRequest,
) -> list[asyncpg.Record]:
    """Up to one row more than the page holds."""
    after = page.after or BEFORE_ALL
    return await connection.fetch(
        LIST_INFLUENCERS_OF_STATUS if status else LIST_INFLUENCERS,
        organization_id,
        project_id,
        after.created_at,
        after.identifier,
        page.limit + 1,
        *([status] if status else []),
    )


async def list_projects(
    connection: Connection, organization_id: str, page: PageRequest
) -> list[Project]:
    """Up to one project more than the page holds."""
    after = page.after or Position(BEFORE_ALL.created_at, _LARGEST_UUID)
    rows = await connection.fetch(
        LIST_PROJECTS, organization_id, after.created_at, after.identifier, page.limit + 1
    )
    return [
        Project(str(row["project_id"]), organization_id, row["name"], row["created_at"])
        for row in rows
    ]


def position_of_influencer(row: asyncpg.Record) -> Position:
    return Position(row["created_at"], row["influencer_id"])


async def find_assets(
    connection: Connection, organization_id: str, project_id: str, asset_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The project's media assets among `asset_ids`, by id, with the fields of their state."""
    rows = await connection.fetch(FIND_ASSETS, organization_id, project_id, list(asset_ids))
    return {row["asset_id"]: orjson.loads(row["state"]) for row in rows}
