"""The organization's jobs, a page at a time."""

from collections.abc import Callable, Sequence

import asyncpg
from aiohttp import web

from schemas.ids import Prefix, parse_identifier, parse_plain_uuid
from services.api.answers import READ_HEADERS, answer, json_body
from services.api.calls import Call
from services.api.job_pages import KINDS, STATUSES, JobFilter, list_jobs
from services.api.pagination import Position
from services.api.records import job_record
from services.core.domain.state import Job


async def get_jobs(call: Call) -> web.Response:
    wanted, faults = _filter(call.request)
    list_filter = f"jobs/{call.organization_id}/{wanted}"
    asked = call.api.paginator.requested(call.request, list_filter, faults)
    async with call.reading() as connection:
        rows = await list_jobs(connection, call.organization_id, wanted, asked)
    page = call.api.paginator.page(
        rows,
        asked,
        list_filter,
        item=lambda row: job_record(Job.model_validate_json(row["state"]), call.api.urls),
        position=_position,
    )
    return answer(json_body(page), headers=READ_HEADERS)


def _position(row: asyncpg.Record) -> Position:
    return Position(row["created_at"], row["job_id"])


def _filter(request: web.BaseRequest) -> tuple[JobFilter, dict[str, list[str]]]:
    """What the query asks for, and what is wrong with it."""
    faults: dict[str, list[str]] = {}

    def read(name: str, parse: Callable[[str], str]) -> str | None:
        text = request.query.get(name)
        try:
            return None if text is None else parse(text)
        except ValueError as fault:
            faults[name] = [str(fault)]
            return None

    wanted = JobFilter(
        project_id=read("projectId", parse_plain_uuid),
        influencer_id=read("influencerId", _influencer_id),
        kind=read("kind", _one_of(KINDS)),
        status=read("status", _one_of(STATUSES)),
    )
    return wanted, faults


def _influencer_id(text: str) -> str:
    return parse_identifier(Prefix.INFLUENCER, text)


def _one_of(values: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"Must be one of {', '.join(values)}")
        return text

    return parse
