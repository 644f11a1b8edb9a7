"""Reference images: uploaded media linked to an influencer, and unlinked."""

from typing import Any
from uuid import uuid4

import pytest

from schemas.ids import Prefix
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import AUDIO, IDS, Scene, add_asset, reference_image_ids
from tests.integration.api.serving import Service
from tests.unit.samples import asset_id


@pytest.fixture
async def scene(caller: Caller, service: Service) -> Scene:
    return await Scene.ready(caller, service)


async def test_linked_images_join_the_ones_that_are_there(
    scene: Scene, caller: Caller, service: Service, replica: Service
) -> None:
    first, second = [await add_asset(caller, service) for _ in range(2)]
    answer = await scene.link(first, second)
    assert answer.status == 200
    assert answer.json.keys() == {"influencerId", "referenceImages"}
    assert answer.json["influencerId"] == scene.influencer_id
    rendered = [asset_id(number) for number in range(4)]
    assert reference_image_ids(answer.json) == [*rendered, first, second]
    added = answer.json["referenceImages"][-1]
    assert added == {
        "assetId": second,
        "url": added["url"],
        "thumbnailUrl": added["thumbnailUrl"],
        "source": "uploaded",
        "view": None,
        "width": 64,
        "height": 32,
        "addedAt": added["addedAt"],
    }
    assert "signature=" in added["url"]
    record = (await caller.at(replica).get(scene.path)).json
    assert record["referenceImages"] == answer.json["referenceImages"]
    assert record["status"] == "ready"
    event = (await scene.events())[-1]
    assert event.type == "ReferenceImagesLinked"


async def test_known_images_are_skipped_in_every_spelling(
    scene: Scene, caller: Caller, service: Service
) -> None:
    known = await add_asset(caller, service)
    before = (await scene.link(known)).json
    sequence = (await scene.record())["sequence"]
    again = await scene.link(known.lower(), known.removeprefix("ast_"), known)
    assert (again.status, again.json) == (200, before)
    assert (await scene.record())["sequence"] == sequence
    fresh = await add_asset(caller, service)
    mixed = await scene.link(fresh, fresh, known)
    assert reference_image_ids(mixed.json) == [*reference_image_ids(before), fresh]


async def test_ids_of_other_projects_drop_out_in_silence(
    scene: Scene, caller: Caller, service: Service, new: NewCaller
) -> None:
    sister = await new(organization_id=caller.organization_id)
    foreign = [await add_asset(at, service) for at in (sister, await new())]
    unknown = IDS.new(Prefix.ASSET)
    own = await add_asset(caller, service)
    answer = await scene.link(*foreign, unknown, str(uuid4()), own)
    assert answer.status == 200
    assert reference_image_ids(answer.json)[4:] == [own]
    before = await scene.record()
    nothing = await scene.link(*foreign)
    assert reference_image_ids(nothing.json) == reference_image_ids(before)
    assert (await scene.record())["sequence"] == before["sequence"]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"assetIds": ["Required"]}),
        ({"assetIds": []}, {"assetIds": ["At least 1 items"]}),
        ({"assetIds": [f"ast_{n:026d}" for n in range(21)]}, {"assetIds": ["At most 20 items"]}),
        ({"assetIds": "ast_1"}, {"assetIds": ["Must be a list"]}),
        ({"assetIds": None, "x": 1}, {"assetIds": ["Must be a list"], "x": ["Unknown field"]}),
    ],
)
async def test_a_wrong_body_is_validation(
    scene: Scene, caller: Caller, body: Any, faults: Any
) -> None:
    assert (await caller.post(scene.images_path, body)).field_errors == faults


async def test_a_malformed_id_is_validation_and_links_nothing(
    scene: Scene, caller: Caller, service: Service
) -> None:
    own = await add_asset(caller, service)
    answer = await scene.link(own, "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T", "", own)
    assert set(answer.field_errors) == {"assetIds.1", "assetIds.2"}
    assert own not in reference_image_ids(await scene.record())


async def test_media_that_is_no_image_is_validation(
    scene: Scene, caller: Caller, service: Service
) -> None:
    audio = await add_asset(caller, service, AUDIO)
    image = await add_asset(caller, service)
    assert (await scene.link(image, audio)).field_errors == {"assetIds.1": ["Not an image"]}
    body = {"name": "Bea", "referenceImages": {"assetIds": [audio]}}
    answer = await caller.post(caller.influencers, body)
    assert answer.field_errors == {"referenceImages.assetIds.0": ["Not an image"]}


async def test_an_unlinked_image_is_gone_from_the_record(
    scene: Scene, caller: Caller, service: Service
) -> None:
    linked = await add_asset(caller, service)
    await scene.link(linked)
    for gone in (linked, asset_id(2)):
        before = reference_image_ids(await scene.record())
        answer = await caller.delete(f"{scene.images_path}/{gone.lower()}")
        assert answer.status == 200
        assert answer.json.keys() == {"influencerId", "referenceImages"}
        left = [other for other in before if other != gone]
        assert reference_image_ids(answer.json) == left
        assert (await scene.record())["referenceImages"] == answer.json["referenceImages"]
        again = await caller.delete(f"{scene.images_path}/{gone}")
        assert again.code == "NOT_FOUND"
    assert [event.type for event in await scene.events()][-1] == "ReferenceImageUnlinked"


@pytest.mark.parametrize("wrong", ["nonsense", "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T", "%00"])
async def test_what_is_no_id_is_not_found_in_the_path(
    scene: Scene, caller: Caller, wrong: str
) -> None:
    assert (await caller.delete(f"{scene.images_path}/{wrong}")).code == "NOT_FOUND"


async def test_unlink_takes_no_fields(scene: Scene, caller: Caller) -> None:
    answer = await caller.delete(f"{scene.images_path}/{asset_id(0)}", {"reason": "x"})
    assert answer.field_errors == {"reason": ["Unknown field"]}
    assert len((await scene.record())["referenceImages"]) == 4


async def test_an_image_that_is_not_linked_is_not_found_before_its_body_is_looked_at(
    scene: Scene, caller: Caller, service: Service
) -> None:
    unlinked, linked = f"{scene.images_path}/{asset_id(9)}", f"{scene.images_path}/{asset_id(0)}"
    for body, kind, status in (
        ({"reason": "x"}, "application/json", 422),
        (b"{", "application/json", 422),
        (b"{}", "text/plain", 415),
    ):
        headers = {"Content-Type": kind}
        answer = await caller.send("DELETE", unlinked, body, headers=headers)
        assert (answer.status, answer.code) == (404, "NOT_FOUND")
        assert (await caller.send("DELETE", linked, body, headers=headers)).status == status
    assert len((await scene.record())["referenceImages"]) == 4


async def test_what_is_no_image_is_told_with_every_other_fault(
    scene: Scene, caller: Caller, service: Service
) -> None:
    audio = await add_asset(caller, service, AUDIO)
    body = {"assetIds": [audio, "nonsense"], "x": 1}
    answer = await caller.post(scene.images_path, body)
    assert answer.field_errors.keys() == {"assetIds.0", "assetIds.1", "x"}
    assert answer.field_errors["assetIds.0"] == ["Not an image"]
