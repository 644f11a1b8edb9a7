"""Content: a picture of an influencer, wanted for a brief."""

from types import MappingProxyType

from aiohttp import web

from schemas.ids import Prefix
from schemas.rest import RequestContentBody
from services.api.bodies import NO_FAULTS, Body
from services.api.calls import Call
from services.api.errors import FieldErrors
from services.api.lookups import repeatable
from services.api.outcomes import job_accepted
from services.api.queries import find_influencer
from services.core.domain.content import RequestContent

NOT_THERE: FieldErrors = MappingProxyType(
    {"influencerId": ["Not an influencer of this organization"]}
)


@repeatable
async def request_content(call: Call) -> web.Response:
    project_id = await call.project_id()
    body = await call.body()
    sequence = await _sequence(call, body)
    wanted = body.as_model(RequestContentBody, NOT_THERE if sequence is None else NO_FAULTS)
    command = RequestContent(
        organization_id=call.organization_id,
        content_id=call.api.ids.new(Prefix.CONTENT),
        job_id=call.api.ids.new(Prefix.JOB),
        project_id=project_id,
        influencer_id=wanted.influencer_id,
        brief=wanted.brief,
        influencer_sequence=sequence or 0,
    )
    path = call.canonical_path()
    return await call.append(command, path, body, job_accepted, is_fresh=True)


async def _sequence(call: Call, body: Body) -> int | None:
    """How far the influencer has come; None when there is none, also when it was deleted.

    0 where the body has no id of one at all, which is a fault of its own.
    """
    influencer_id = body.named("influencerId", Prefix.INFLUENCER).get("influencerId")
    if influencer_id is None:
        return 0
    async with call.reading() as connection:
        found = await find_influencer(connection, call.organization_id, influencer_id)
    return found.sequence if found else None
