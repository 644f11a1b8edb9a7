"""Pictures for briefs, all of the system at work, and all of it killed now and then.

There are two of the content service, so one may take a request while the other one hears that the
influencer is ready.
"""

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from schemas.events import ContentFailed, ContentGenerated, JobCanceled
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool
from tests.faults.forked import ForkedProcess
from tests.faults.system import System, build_system
from tests.reading import read_events
from tests.waiting import eventually

PICTURES = 12
KILLS = 6
SEED = 7
ENDS = (ContentGenerated, ContentFailed, JobCanceled)


@pytest.fixture
async def system(
    stack: Stack, database_url: str, pool: Pool, topics: TopicNames, tmp_path: Path
) -> Any:
    made = await build_system(
        stack,
        database_url,
        pool,
        topics,
        tmp_path,
        backend="tests.faults.backends:tiny",
        process=ForkedProcess,
    )
    try:
        await made.start()
        made.parts["content-twin"] = made.twin_of(made.parts["content"])
        made.parts["content-twin"].start()
        await made.parts["content-twin"].until_ready()
        yield made
    finally:
        made.kill()


class Client:
    """Asks until it is answered, with one idempotency key for each thing it wants."""

    def __init__(self, system: System, http: aiohttp.ClientSession) -> None:
        self._project = f"/v1/projects/{system.project_id}"
        self._http = http

    async def asks_for_a_picture(self, number: int) -> str:
        """The job's id; the influencer's own 202 is just back."""
        created = await self._post("influencers", {"name": f"Ava {number}"}, f"i{number}")
        body = {"influencerId": created["influencerId"], "brief": f"Sale {number}!"}
        job_id: str = (await self._post("content", body, f"c{number}"))["jobId"]
        return job_id

    async def ended(self, job_id: str) -> Any:
        async def has_ended() -> Any:
            job = await self.get(f"/v1/jobs/{job_id}")
            return job if job and job["status"] != "running" else None

        return await eventually(f"{job_id} ends", has_ended, within=60)

    async def get(self, path: str) -> Any:
        """None while nobody answers."""
        try:
            async with self._http.get(path) as response:
                return await response.json() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _post(self, what: str, body: dict[str, str], key: str) -> Any:
        async def answered() -> Any:
            try:
                headers = {"Idempotency-Key": key}
                path = f"{self._project}/{what}"
                async with self._http.post(path, json=body, headers=headers) as response:
                    return await response.json() if response.status == 202 else None
            except (aiohttp.ClientError, TimeoutError):
                return None

        return await eventually(f"{what} is accepted", answered, within=60)


async def test_every_picture_is_made_once_whatever_is_killed(stack: Stack, system: System) -> None:
    headers = {"X-Api-Key": system.api_key}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as http:
        client = Client(system, http)
        chance = random.Random(SEED)
        asking = [
            asyncio.create_task(client.asks_for_a_picture(number)) for number in range(PICTURES)
        ]
        for name in chance.choices(["content", "content-twin", *system.parts], k=KILLS):
            part = system.parts[name]
            part.kill()
            part.start()
            await part.until_ready()
        jobs = [await client.ended(job_id) for job_id in await asyncio.gather(*asking)]
        assert [job["status"] for job in jobs] == ["completed"] * PICTURES

        assets = await client.get(f"/v1/projects/{system.project_id}/media?limit=100")
        listed = {asset["assetId"] for asset in assets["items"]}
        for job in jobs:
            image = job["result"]["image"]
            assert image["assetId"] in listed
            assert (await client.get(f"/v1/media/{image['assetId']}"))["kind"] == "image"
            async with http.get(image["url"]) as picture:
                assert picture.status == 200
                assert (await picture.read()).startswith(b"\x89PNG")
    events = await read_events(stack.bootstrap_servers, system.topics.events[2], 2 * PICTURES)
    assert len(events) == 2 * PICTURES
    ends = [event.correlation_id for event in events if isinstance(event.data, ENDS)]
    assert sorted(ends) == sorted(job["jobId"] for job in jobs)
