"""Pages of an organization's jobs, newest first, in any filter and always by an index.

An `or` that lets a filter be absent may cost Postgres the range it searches: so each shape of
filter has a statement of its own. Kinds and statuses are few: where a filter leaves them open, the
newest jobs of each pair of them are merged.
"""

from dataclasses import dataclass
from typing import get_args

import asyncpg

from schemas.jobs import JobKind, JobStatus
from services.api.pagination import BEFORE_ALL, PageRequest
from services.core.postgres import Connection

KINDS: tuple[JobKind, ...] = get_args(JobKind)
STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)

LIST_JOBS = """
select job_id, created_at, state from read_model.jobs
where organization_id = $1 and (created_at, job_id) < ($2, $3)
order by created_at desc, job_id desc
limit $4
"""

# One influencer has few jobs: what else is asked of them may be looked up row by row.
LIST_JOBS_OF_INFLUENCER = """
select job_id, created_at, state from read_model.jobs
where organization_id = $1 and influencer_id = $5 and (created_at, job_id) < ($2, $3)
  and kind = any($6::text[]) and status = any($7::text[])
  and ($8::uuid is null or project_id = $8)
order by created_at desc, job_id desc
limit $4
"""

_LIST_MERGED_JOBS = """
select newest.*
from unnest($5::text[]) as kinds(kind)
cross join unnest($6::text[]) as statuses(status)
cross join lateral (
    select job_id, created_at, state from read_model.jobs j
    where j.organization_id = $1 and {of_project} j.kind = kinds.kind
      and j.status = statuses.status and (j.created_at, j.job_id) < ($2, $3)
    order by created_at desc, job_id desc
    limit $4
) as newest
order by created_at desc, job_id desc
limit $4
"""
LIST_JOBS_BY_KIND_AND_STATUS = _LIST_MERGED_JOBS.format(of_project="")
LIST_JOBS_OF_PROJECT = _LIST_MERGED_JOBS.format(of_project="j.project_id = $7 and")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """None: any."""

    project_id: str | None = None
    influencer_id: str | None = None
    kind: str | None = None
    status: str | None = None


async def list_jobs(
    connection: Connection, organization_id: str, wanted: JobFilter, page: PageRequest
) -> list[asyncpg.Record]:
    """Up to one row more than the page holds."""
    after = page.after or BEFORE_ALL
    statement, arguments = statement_of(wanted)
    return await connection.fetch(
        statement, organization_id, after.created_at, after.identifier, page.limit + 1, *arguments
    )


def statement_of(wanted: JobFilter) -> tuple[str, tuple[object, ...]]:
    """The statement for a filter, and what it takes after the organization and the page."""
    kinds = [wanted.kind] if wanted.kind else KINDS
    statuses = [wanted.status] if wanted.status else STATUSES
    if wanted.influencer_id:
        arguments = (wanted.influencer_id, kinds, statuses, wanted.project_id)
        return LIST_JOBS_OF_INFLUENCER, arguments
    if wanted.project_id:
        return LIST_JOBS_OF_PROJECT, (kinds, statuses, wanted.project_id)
    if wanted == JobFilter():
        return LIST_JOBS, ()
    return LIST_JOBS_BY_KIND_AND_STATUS, (kinds, statuses)
