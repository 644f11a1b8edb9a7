"""Pictures in S3, by configuration: rendered there, served from there, uploaded to it."""

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from services.core.postgres import Pool
from services.core.storage.store import open_object_store
from services.core.storage.sweep_safe import SweepSafeStore
from tests.buckets import Bucket, a_bucket
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.pictures import finalize, picture, presign
from tests.integration.api.serving import Service, serving
from tests.integration.ops.history import projecting
from tests.integration.ops.installation import Installation
from tests.integration.renderer.conftest import (  # noqa: F401
    Chain,
    Renderers,
    chain,
    renderers,
    store_folder,
)
from tests.waiting import eventually


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with a_bucket(tmp_path / "s3") as opened:
        yield opened


@pytest.fixture
async def api(database_url: str, pool: Pool, bucket: Bucket) -> AsyncIterator[Service]:
    store = SweepSafeStore(open_object_store(bucket.url, bucket.options), pool)
    async with serving(database_url, store=store) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_what_a_renderer_puts_there_has_urls_of_the_api_that_work(
    chain: Chain,  # noqa: F811
    renderers: Renderers,  # noqa: F811
    api: Service,
    bucket: Bucket,
    http: aiohttp.ClientSession,
    database_url: str,
) -> None:
    await renderers.start(MEDIA_STORE_URL=bucket.url, **bucket.environment)
    caller = await new_caller(http, api)
    chain.organization_id, chain.project_id = caller.organization_id, caller.project_id
    created = await chain.create(("a", "b"))
    await chain.ended(created)

    here = Installation(database_url, chain.stack.bootstrap_servers, chain.topics)
    async with projecting(here, chain.pool):
        images = await eventually(
            "the api has them", lambda: _images(caller, created.influencer_id)
        )

    for image in images:
        for url in (image["url"], image["thumbnailUrl"]):
            async with http.get(f"{api.base_url}{url}") as answer:
                assert answer.status == 200
                Image.open(BytesIO(await answer.read())).verify()


async def _images(caller: Caller, influencer_id: str) -> list[dict[str, str]]:
    record = (await caller.get(f"/v1/influencers/{influencer_id}")).json
    return list(record["referenceImages"]) if record["status"] == "ready" else []


async def test_a_client_puts_the_bytes_into_the_bucket_itself(
    api: Service, http: aiohttp.ClientSession, bucket: Bucket
) -> None:
    caller, content = await new_caller(http, api), picture()
    announced = await presign(caller)
    assert announced["url"].startswith(bucket.endpoint)

    async with http.put(announced["url"], data=content, headers=announced["headers"]) as answer:
        assert answer.status == 200
    asset = await finalize(caller, announced["uploadId"])

    assert asset.status == 201
    async with http.get(f"{api.base_url}{asset.json['url']}") as answer:
        assert (answer.status, await answer.read()) == (200, content)
