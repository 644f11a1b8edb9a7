"""Changes of an influencer that start no job: update, delete."""

from aiohttp import web

from schemas.rest import DeleteInfluencerBody, PatchInfluencerBody
from services.api.calls import Call
from services.api.lookups import influencer_of, repeatable
from services.api.outcomes import influencer_deleted, record_changed
from services.api.preconditions import expected_sequence
from services.core.domain.commands import DeleteInfluencer, UpdateInfluencer


@repeatable
async def patch_influencer(call: Call) -> web.Response:
    found = await influencer_of(call)
    body = await call.body()
    wanted = body.as_model(PatchInfluencerBody)
    command = UpdateInfluencer(
        call.organization_id,
        found.influencer.influencer_id,
        changes=wanted.model_dump(mode="json", by_alias=True, exclude_unset=True),
        expected_sequence=expected_sequence(call.request, found.sequence),
    )
    return await call.append(command, call.canonical_path(), body, record_changed(call.api.urls))


@repeatable
async def delete_influencer(call: Call) -> web.Response:
    found = await influencer_of(call)
    body = await call.body(required=False)
    wanted = body.as_model(DeleteInfluencerBody)
    command = DeleteInfluencer(
        call.organization_id,
        found.influencer.influencer_id,
        requested_by=call.key.key_id,
        reason=wanted.reason,
        expected_sequence=expected_sequence(call.request, found.sequence),
    )
    return await call.append(command, call.canonical_path(), body, influencer_deleted)
