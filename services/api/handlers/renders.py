"""Jobs started from an influencer that is there: render it anew, clone it."""

from aiohttp import web

from schemas.ids import Prefix
from schemas.images import ReferenceImage
from schemas.profile import Profile
from schemas.rest import CloneInfluencerBody, EmptyBody
from services.api.calls import Call
from services.api.lookups import influencer_of, repeatable
from services.api.outcomes import job_accepted
from services.core.clock import timestamp
from services.core.domain.commands import CreateInfluencer, RenderInfluencer
from services.core.domain.profile_changes import with_changes
from services.core.domain.state import Influencer


@repeatable
async def render_influencer(call: Call) -> web.Response:
    influencer = (await influencer_of(call)).influencer
    body = await call.body(required=False)
    body.as_model(EmptyBody)
    job_id = call.api.ids.new(Prefix.JOB)
    command = RenderInfluencer(call.organization_id, influencer.influencer_id, job_id)
    return await call.append(command, call.canonical_path(), body, job_accepted)


@repeatable
async def clone_influencer(call: Call) -> web.Response:
    source = (await influencer_of(call)).influencer
    body = await call.body()
    wanted = body.as_model(CloneInfluencerBody)
    command = CreateInfluencer(
        organization_id=call.organization_id,
        influencer_id=wanted.new_influencer_id or call.api.ids.new(Prefix.INFLUENCER),
        project_id=source.project_id,
        job_id=call.api.ids.new(Prefix.JOB),
        profile=_profile(source, wanted),
        reference_images=_uploaded(call, source),
        source_influencer_id=source.influencer_id,
        identity_id=source.identity_id or source.influencer_id,
    )
    is_fresh = wanted.new_influencer_id is None
    path = call.canonical_path()
    return await call.append(command, path, body, job_accepted, is_fresh=is_fresh)


def _profile(source: Influencer, wanted: CloneInfluencerBody) -> Profile:
    overrides = wanted.overrides
    changes = (
        overrides.model_dump(mode="json", by_alias=True, exclude_unset=True) if overrides else {}
    )
    return with_changes(source.profile, {**changes, "name": wanted.name})


def _uploaded(call: Call, source: Influencer) -> tuple[ReferenceImage, ...]:
    now = timestamp(call.api.clock())
    return tuple(
        image.model_copy(update={"added_at": now})
        for image in source.reference_images
        if image.source == "uploaded"
    )
