"""What clients do so that every type of event comes to be on the log."""

import base64
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from schemas.ids import Prefix, UlidSource
from schemas.images import ReferenceImage
from schemas.jobs import JobError
from services.core.clock import system_clock
from services.core.domain.aggregates import AnyCommand
from services.core.domain.content import (
    CancelContent,
    CompleteContent,
    FailContent,
    RequestContent,
)
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import AppendRequest
from services.core.postgres import Pool
from tests.corpus.backend import REFUSED
from tests.faults.system import System
from tests.integration.api.pictures import picture

IDS = UlidSource()
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AVA_CHEN = {
    "name": "Ava Chen",
    "gender": "female",
    "ageRange": "25-34",
    "hairColor": "dark brown",
    "hairStyle": "long wavy",
    "style": "minimalist streetwear",
    "vibe": "warm and curious",
    "personality": {
        "traits": ["curious", "warm", "direct"],
        "tone": "conversational",
        "humor": "dry",
    },
}
JOB_ENDS_WITHIN = 60
"""Seconds."""


@dataclass
class Client:
    """Calls the api; whatever is refused ends the scenario."""

    system: System
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else orjson.dumps(body)
        headers = {"X-Api-Key": self.system.api_key, "Content-Type": "application/json"}
        url = self.system.base_url + path
        async with self.session.request(method, url, data=data, headers=headers) as response:
            answer = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()}")
            return dict(orjson.loads(answer))

    async def in_project(self, path: str, body: object) -> dict[str, Any]:
        return await self.call("POST", f"/v1/projects/{self.system.project_id}{path}", body)

    async def upload(self, color: str) -> str:
        content = picture(color, size=(640, 480))
        body = {
            "kind": "reference_image",
            "mimeType": "image/png",
            "dataBase64": base64.b64encode(content).decode(),
            "filename": f"{color}.png",
        }
        return str((await self.in_project("/media", body))["assetId"])

    async def until_ended(self, job: dict[str, Any]) -> str:
        url = f"{self.system.base_url}/v1/jobs/{job['jobId']}"
        headers = {"X-Api-Key": self.system.api_key, "Prefer": f"wait={JOB_ENDS_WITHIN}"}
        async with self.session.get(url, headers=headers) as response:
            return str((await response.json())["status"])


async def play(system: System, pool: Pool) -> None:
    """Everything that can happen, once; the services of `system` run."""
    async with aiohttp.ClientSession() as session:
        client = Client(system, session)
        ava = await _make_and_remake(client)
        await _fail(client)
        await _cancel(client)
        await _draft_and_delete(client)
    await _want_content(system, pool, ava)


async def _make_and_remake(client: Client) -> str:
    seed, other = await client.upload("teal"), await client.upload("olive")
    body = {**AVA_CHEN, "referenceImages": {"assetIds": [seed]}}
    job = await client.in_project("/influencers", body)
    assert await client.until_ended(job) == "completed"
    ava = str(job["influencerId"])
    changes = {"vibe": "calm", "hairStyle": None, "personality": {"humor": "warm"}}
    await client.call("PATCH", f"/v1/influencers/{ava}", changes)
    await client.call("POST", f"/v1/influencers/{ava}/reference-images", {"assetIds": [other]})
    await client.call("DELETE", f"/v1/influencers/{ava}/reference-images/{other}")
    again = await client.call("POST", f"/v1/influencers/{ava}/render", {})
    assert await client.until_ended(again) == "completed"
    clone = {"name": "Mina Chen", "overrides": {"hairColor": "silver"}}
    twin = await client.call("POST", f"/v1/influencers/{ava}/clone", clone)
    assert await client.until_ended(twin) == "completed"
    return ava


async def _fail(client: Client) -> None:
    job = await client.in_project("/influencers", {"name": "Cleo", "style": REFUSED})
    assert await client.until_ended(job) == "failed"


async def _cancel(client: Client) -> None:
    client.system.parts["renderer"].kill()
    job = await client.in_project("/influencers", {"name": "Bo"})
    await client.call("POST", f"/v1/jobs/{job['jobId']}/cancel")
    client.system.parts["renderer"].start()


async def _draft_and_delete(client: Client) -> None:
    seed = await client.upload("teal")
    body = {"name": "Dee", "ageRange": "35-44", "referenceImages": {"assetIds": [seed]}}
    draft = await client.in_project("/influencers?draft=true", body)
    path = f"/v1/influencers/{draft['influencerId']}"
    await client.call("DELETE", path, {"reason": "The campaign was called off."})


async def _want_content(system: System, pool: Pool, influencer_id: str) -> None:
    """As the service that isn't there yet will: through the same append."""
    state = await pool.fetchval(
        "select state from read_model.influencers where influencer_id = $1", influencer_id
    )
    portrait = orjson.loads(state)["referenceImages"][-1]
    group_commit = GroupCommit(
        pool, clock=system_clock, ids=IDS, write_read_models=True, after_commit=lambda: None
    )
    await group_commit.start()

    async def append(command: AnyCommand, source: str) -> None:
        request_id = IDS.new(Prefix.REQUEST)
        request = AppendRequest(
            command=command,
            source=source,
            request_id=request_id,
            causation_id=request_id,
            traceparent=TRACEPARENT,
        )
        await group_commit.append(request)

    async def requested(brief: str) -> tuple[str, str, str]:
        stream = system.organization_id, IDS.new(Prefix.CONTENT), IDS.new(Prefix.JOB)
        await append(
            RequestContent(*stream, system.project_id, influencer_id, brief), "/services/api"
        )
        return stream

    image = ReferenceImage(
        **{**portrait, "assetId": IDS.new(Prefix.ASSET), "view": "content"},
    )
    done = await requested("Ava shows the new coffee bar at the station.")
    await append(CompleteContent(*done, image), "/services/content")
    failed = await requested("Ava at the opening of the exhibition.")
    error = JobError(
        code="INFLUENCER_DELETED", message="The influencer was deleted.", retryable=False
    )
    await append(FailContent(*failed, error), "/services/content")
    canceled = await requested("Ava on the roof at dawn.")
    await append(CancelContent(*canceled, IDS.new(Prefix.KEY)), "/services/api")
    await group_commit.stop()
