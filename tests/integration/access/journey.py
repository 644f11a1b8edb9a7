"""A client's way through all services: create, change, ask for a picture, read everything."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.faults.system import System
from tests.waiting import eventually

READS = ("/v1/whoami", "/v1/projects", "/v1/jobs", "/v1/events?limit=5")


@dataclass(frozen=True)
class Client:
    session: aiohttp.ClientSession
    system: System

    async def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        url = self.system.base_url + path
        async with self.session.request(method, url, json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def ended(self, job_id: str) -> str:
        async def status() -> str | None:
            job = await self.send("GET", f"/v1/jobs/{job_id}")
            return job["status"] if job["status"] not in ("queued", "running") else None

        return await eventually(f"{job_id} ends", status, within=60)

    async def creates(self) -> str:
        path = f"/v1/projects/{self.system.project_id}/influencers"
        accepted = await self.send("POST", path, {"name": "Ava Chen"}, 202)
        assert await self.ended(accepted["jobId"]) == "completed"
        return str(accepted["influencerId"])

    async def changes(self, influencer_id: str) -> None:
        path = f"/v1/influencers/{influencer_id}"
        await self.send("PATCH", path, {"vibe": "playful"})
        rendering = await self.send("POST", f"{path}/render", {}, 202)
        url = f"{self.system.base_url}/v1/jobs/{rendering['jobId']}/cancel"
        async with self.session.post(url) as canceled:
            assert canceled.status in (202, 409), await canceled.text()
        await self.ended(rendering["jobId"])

    async def asks_for_a_picture(self, influencer_id: str) -> None:
        brief = {"influencerId": influencer_id, "brief": "Weekend sale!"}
        path = f"/v1/projects/{self.system.project_id}/content"
        picture = await self.send("POST", path, brief, 202)
        assert await self.ended(picture["jobId"]) == "completed"

    async def reads(self, influencer_id: str) -> None:
        """Returns once the projector has folded the influencer's events too."""
        for route in READS:
            await self.send("GET", route)

        async def has_history() -> bool:
            found = await self.send("GET", f"/v1/influencers/{influencer_id}/events")
            return len(found["items"]) > 2

        await eventually("the projector has folded its events", has_history)
