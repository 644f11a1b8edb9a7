"""Uploaded images as an influencer's reference images."""

from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import (
    SOUND,
    film,
    finalize,
    media_of,
    picture,
    presign,
    upload,
)
from tests.integration.api.serving import Service
from tests.integration.api.test_media import nobody


async def test_uploads_seed_a_new_influencer(caller: Caller) -> None:
    assets = [
        await upload(caller, picture(color), kind=kind)
        for color, kind in (("red", "image"), ("blue", "reference_image"), ("black", "logo"))
    ]
    created = await caller.create(
        referenceImages={"assetIds": [asset["assetId"] for asset in assets]}
    )
    record = (await caller.get(f"/v1/influencers/{created['influencerId']}")).json
    for image, asset in zip(record["referenceImages"], assets, strict=True):
        assert (image["assetId"], image["source"]) == (asset["assetId"], "uploaded")
        assert (image["width"], image["height"], image["view"]) == (64, 40, None)
        assert (await nobody(caller).get(image["url"])).status == 200
        assert (await nobody(caller).get(image["thumbnailUrl"])).status == 200


async def test_an_upload_by_url_can_be_linked(caller: Caller) -> None:
    created = await caller.create()
    announced = await presign(caller, kind="reference_image")
    await nobody(caller).send("PUT", announced["url"], picture())
    asset = (await finalize(caller, announced["uploadId"])).json
    linked = await caller.post(
        f"/v1/influencers/{created['influencerId']}/reference-images",
        {"assetIds": [asset["assetId"]]},
    )
    assert linked.status == 200
    [image] = linked.json["referenceImages"]
    assert (image["assetId"], image["source"]) == (asset["assetId"], "uploaded")


async def test_sound_and_film_are_no_reference_images(caller: Caller) -> None:
    image = await upload(caller, picture())
    video = await upload(caller, film(), kind="video", mimeType="video/mp4")
    audio = await upload(caller, SOUND, kind="audio", mimeType="audio/mpeg")
    asset_ids = [asset["assetId"] for asset in (image, video, audio)]
    refused = await caller.post(
        caller.influencers, {"name": "Ava", "referenceImages": {"assetIds": asset_ids}}
    )
    assert refused.field_errors == {
        "referenceImages.assetIds.1": ["Not an image"],
        "referenceImages.assetIds.2": ["Not an image"],
    }
    created = await caller.create()
    location = f"/v1/influencers/{created['influencerId']}/reference-images"
    refused = await caller.post(location, {"assetIds": asset_ids})
    assert refused.field_errors.keys() == {"assetIds.1", "assetIds.2"}


async def test_an_image_of_another_project_is_none_of_this_one(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    asset = await upload(await new(), picture())
    refused = await caller.post(
        caller.influencers,
        {"name": "Ava", "referenceImages": {"assetIds": [asset["assetId"]]}},
    )
    assert refused.field_errors.keys() == {"referenceImages.assetIds.0"}
    assert (await caller.get(media_of(caller))).json["items"] == []
