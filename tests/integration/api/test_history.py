"""The history of an influencer, as a client reads it."""

from urllib.parse import urlsplit

from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import Scene, add_asset, project_history
from tests.integration.api.serving import Service
from tests.integration.api.test_pagination import pages


async def full_scene(caller: Caller, service: Service) -> Scene:
    """Every type of event that has images, and one with nulls."""
    seed = await add_asset(caller, service)
    scene = await Scene.ready(caller, service, referenceImages={"assetIds": [seed]})
    await scene.link(await add_asset(caller, service))
    await caller.patch(scene.path, {"vibe": "calm", "name": "Bea"})
    await caller.patch(scene.path, {"vibe": None})
    await caller.delete(f"{scene.images_path}/{seed}")
    return scene


async def test_a_history_holds_every_event_oldest_first(caller: Caller, service: Service) -> None:
    scene = await full_scene(caller, service)
    events = await project_history(scene)
    answer = await caller.get(f"{scene.path}/events")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"
    items = answer.json["items"]
    assert [item.keys() for item in items] == [{"eventId", "type", "time", "data"}] * len(events)
    assert [(item["eventId"], item["type"], item["time"]) for item in items] == [
        (event.id, event.type, event.time) for event in events
    ]
    assert items[0]["type"] == "InfluencerCreateRequested"
    assert items[-2]["data"] == {"changes": {"vibe": None}}
    assert answer.json["nextCursor"] is None


async def test_its_images_are_signed_as_in_the_record(caller: Caller, service: Service) -> None:
    scene = await full_scene(caller, service)
    await project_history(scene)
    shown = {image["assetId"]: image for image in (await scene.record())["referenceImages"]}
    images = []
    for item in (await caller.get(f"{scene.path}/events")).json["items"]:
        data = item["data"]
        images += data.get("referenceImages", []) + data.get("images", [])
        images += [data["image"]] if "image" in data else []
    assert len(images) == 6
    for image in images:
        for field in ("url", "thumbnailUrl"):
            assert "signature=" in urlsplit(image[field]).query
            if image["assetId"] in shown:
                assert image[field] == shown[image["assetId"]][field]


async def test_a_history_has_pages(caller: Caller, service: Service) -> None:
    scene = await full_scene(caller, service)
    wanted = [event.id for event in await project_history(scene)]
    for limit in (1, 3, len(wanted), 100):
        shown = [
            item["eventId"]
            async for page in pages(caller, f"{scene.path}/events", limit)
            for item in page
        ]
        assert shown == wanted


async def test_a_cursor_is_of_one_history(caller: Caller, service: Service) -> None:
    scene, other = await full_scene(caller, service), await Scene.started(caller, service)
    await project_history(scene)
    cursor = (await caller.get(f"{scene.path}/events?limit=1")).json["nextCursor"]
    answer = await caller.get(f"{other.path}/events?cursor={cursor}")
    assert list(answer.field_errors) == ["cursor"]
    assert list((await caller.get(f"{scene.path}/events?limit=0")).field_errors) == ["limit"]


async def test_the_same_id_elsewhere_has_another_history(
    caller: Caller, service: Service, new: NewCaller
) -> None:
    scene = await Scene.started(caller, service)
    await project_history(scene)
    other = await new()
    assert (await other.get(f"{scene.path}/events")).code == "NOT_FOUND"
    await other.create(influencerId=scene.influencer_id)
    assert (await other.get(f"{scene.path}/events")).json["items"] == []
