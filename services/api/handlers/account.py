"""Who the caller is and what projects there are."""

from aiohttp import web

from schemas.ids import parse_plain_uuid
from services.api.answers import READ_HEADERS, answer, json_body
from services.api.calls import Call
from services.api.errors import NotFound
from services.api.pagination import Position
from services.api.queries import list_projects
from services.api.records import key_record, project_record
from services.core.controlplane import find_project


async def get_whoami(call: Call) -> web.Response:
    return answer(json_body(key_record(call.key)), headers=READ_HEADERS)


async def get_projects(call: Call) -> web.Response:
    list_filter = f"projects/{call.organization_id}"
    asked = call.api.paginator.requested(call.request, list_filter)
    async with call.reading() as connection:
        projects = await list_projects(connection, call.organization_id, asked)
    page = call.api.paginator.page(
        projects,
        asked,
        list_filter,
        item=project_record,
        position=lambda project: Position(project.created_at, project.project_id),
    )
    return answer(json_body(page), headers=READ_HEADERS)


async def get_project(call: Call) -> web.Response:
    try:
        project_id = parse_plain_uuid(call.request.match_info["projectId"])
    except ValueError:
        raise NotFound() from None
    async with call.reading() as connection:
        project = await find_project(connection, call.organization_id, project_id)
    if project is None:
        raise NotFound()
    return answer(json_body(project_record(project)), headers=READ_HEADERS)
