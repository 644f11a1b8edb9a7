"""Reference images of an influencer: uploaded ones are linked and unlinked."""

from aiohttp import web

from schemas.ids import Prefix
from schemas.rest import EmptyBody, ReferenceImagesBody
from services.api.calls import Call
from services.api.errors import ApiError, NotFound
from services.api.lookups import influencer_of, repeatable, uploaded_images
from services.api.outcomes import images_changed
from services.core.domain.commands import LinkReferenceImages, UnlinkReferenceImage


@repeatable
async def link_reference_images(call: Call) -> web.Response:
    """What isn't media of the influencer's project drops out in silence."""
    influencer = (await influencer_of(call)).influencer
    body = await call.body()
    named = body.named("assetIds", Prefix.ASSET)
    uploaded = await uploaded_images(call, influencer.project_id, named)
    body.as_model(ReferenceImagesBody, uploaded.not_images)
    command = LinkReferenceImages(
        call.organization_id, influencer.influencer_id, tuple(uploaded.images.values())
    )
    return await call.append(command, call.canonical_path(), body, images_changed(call.api.urls))


@repeatable
async def unlink_reference_image(call: Call) -> web.Response:
    influencer = (await influencer_of(call)).influencer
    asset_id = call.identifier("assetId", Prefix.ASSET)
    try:
        body = await call.body(required=False)
        body.as_model(EmptyBody)
    except ApiError:
        # The path comes first. Where the body is fine, the stream itself knows what is linked.
        if asset_id not in {image.asset_id for image in influencer.reference_images}:
            raise NotFound() from None
        raise
    command = UnlinkReferenceImage(call.organization_id, influencer.influencer_id, asset_id)
    return await call.append(command, call.canonical_path(), body, images_changed(call.api.urls))
