"""What a newcomer does through REST alone, with the real renderer: two photos to a delete."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool
from tests.faults.system import System, build_system
from tests.integration.api.calling import Caller
from tests.integration.api.pictures import finalize, inline, media_of, presign
from tests.integration.api.streaming import streaming
from tests.unit.rendering.test_seed_palette import HAIR, SKIN, is_close, photo

VIEWS = 4


@pytest.fixture
async def system(
    stack: Stack, database_url: str, pool: Pool, topics: TopicNames, tmp_path: Path
) -> AsyncIterator[System]:
    made = await build_system(stack, database_url, pool, topics, tmp_path)
    del made.parts["content"]
    try:
        await made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
async def caller(system: System) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        yield Caller(
            http,
            system.base_url,
            system.organization_id,
            system.project_id,
            system.api_key,
            key_id="",
        )


async def upload_small(caller: Caller) -> str:
    """A photo from a camera that was held on its side."""
    body = inline(photo(6, "PNG"), kind="reference_image")
    answer = await caller.post(media_of(caller), body)
    assert answer.status == 201, answer
    assert (answer.json["width"], answer.json["height"]) == (300, 400)
    return str(answer.json["assetId"])


async def upload_large(caller: Caller) -> str:
    announced = await presign(caller, kind="reference_image", mimeType="image/jpeg")
    path = announced["url"].removeprefix(caller.base_url)
    sent = await caller.send(
        announced["method"], path, photo(1, "JPEG"), headers=announced["headers"]
    )
    assert sent.status == 200, sent
    answer = await finalize(caller, announced["uploadId"])
    assert answer.status == 201, answer
    return str(answer.json["assetId"])


async def watched(caller: Caller, job_id: str) -> list[str | None]:
    async with streaming(caller, job_id) as stream:
        return [message.event for message in [*await stream.rest()]]


async def ended(caller: Caller, job_id: str) -> Any:
    answer = await caller.get(f"/v1/jobs/{job_id}", Prefer="wait=60")
    assert answer.status == 200, answer
    return answer.json


async def read_image(caller: Caller, url: str) -> Image.Image:
    answer = await caller.get(url.removeprefix(caller.base_url))
    assert answer.status == 200, answer
    image = Image.open(BytesIO(answer.body), formats=["PNG"])
    image.load()
    return image.convert("RGB")


def shows(image: Image.Image, color: str) -> bool:
    """Whether a good part of it has that colour."""
    pixels = image.resize((64, 64), Image.Resampling.NEAREST).tobytes()
    colors = ["#" + pixels[at : at + 3].hex() for at in range(0, len(pixels), 3)]
    return sum(is_close(found, color) for found in colors) > len(colors) / 200


async def test_from_two_photos_to_a_delete(caller: Caller) -> None:
    photos = [await upload_small(caller), await upload_large(caller)]
    created = await caller.create(gender="female", referenceImages={"assetIds": photos})
    path = f"/v1/influencers/{created['influencerId']}"

    events = await watched(caller, created["jobId"])
    assert events[0] == "snapshot"
    assert events[-1] == "InfluencerReady"
    assert events.count("InfluencerImageRendered") <= VIEWS
    job = await ended(caller, created["jobId"])
    assert (job["status"], job["progress"]) == ("completed", 1.0)

    record = (await caller.get(path)).json
    assert record["status"] == "ready"
    images = record["referenceImages"]
    assert sorted(image["source"] for image in images) == ["rendered"] * VIEWS + ["uploaded"] * 2
    portrait = await read_image(
        caller, next(image["url"] for image in images if image["view"] == "portrait")
    )
    assert shows(portrait, SKIN)
    assert shows(portrait, HAIR)

    other = await caller.create(name="Bea")
    canceled = await caller.post(f"/v1/jobs/{other['jobId']}/cancel")
    assert (canceled.status, canceled.json["accepted"]) == (202, True)
    assert (await ended(caller, other["jobId"]))["status"] == "canceled"
    assert (await watched(caller, other["jobId"])) == ["snapshot"]

    cloned = await caller.post(f"{path}/clone", {"name": "Mia Chen"})
    assert cloned.status == 202, cloned
    assert (await ended(caller, cloned.json["jobId"]))["status"] == "completed"
    copy = f"/v1/influencers/{cloned.json['influencerId']}"
    twin = await read_image(
        caller,
        next(
            image["url"]
            for image in (await caller.get(copy)).json["referenceImages"]
            if image["view"] == "portrait"
        ),
    )
    assert shows(twin, SKIN)
    assert shows(twin, HAIR)

    got = await caller.get(copy)
    patched = await caller.patch(copy, {"vibe": "calm"}, If_Match=got.headers["ETag"])
    assert (patched.status, patched.json["vibe"]) == (200, "calm")
    deleted = await caller.delete(copy, {"reason": "The campaign is over."})
    assert (deleted.status, deleted.json["status"]) == (200, "deleted")
    assert (await caller.get(copy)).code == "NOT_FOUND"
    listed = (await caller.get(caller.influencers)).json["items"]
    assert {item["name"] for item in listed} == {"Ava Chen", "Bea"}
