"""One request beside the load, for what the api says while a part is away: nothing comes of it."""

from dataclasses import dataclass
from typing import NamedTuple

import aiohttp

from tests.faults.arena import Arena
from tests.waiting import eventually

ANSWER_WITHIN = 15.0
CONFLICT, UNAVAILABLE = 409, 503


class Answer(NamedTuple):
    """`retry_after` is None where the answer has no such header."""

    status: int
    retry_after: str | None


@dataclass(frozen=True)
class Probe:
    """Asks for an influencer that is there: a conflict, unless the api can't append just now."""

    arena: Arena
    influencer_id: str

    async def answer(self) -> Answer | None:
        """None when there is none."""
        system = self.arena.system
        url = f"{system.base_url}/v1/projects/{system.project_id}/influencers"
        body = {"name": "There already", "influencerId": self.influencer_id}
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, json=body, headers={"X-Api-Key": system.api_key}) as response,
            ):
                return Answer(response.status, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def until_unavailable(self, within: float = 30.0) -> None:
        """503, and it says when to come back."""
        answer = await self._until(UNAVAILABLE, within)
        if not (answer.retry_after or "").isdigit():
            self.arena.load.wrong.append(f"503 without a Retry-After: {answer}")

    async def until_available(self, within: float = 30.0) -> None:
        await self._until(CONFLICT, within)

    async def is_available(self) -> bool:
        answer = await self.answer()
        return answer is not None and answer.status == CONFLICT

    async def _until(self, status: int, within: float) -> Answer:
        async def answered() -> Answer | None:
            answer = await self.answer()
            return answer if answer is not None and answer.status == status else None

        return await eventually(f"the api answers {status}", answered, within)


async def probe_of(arena: Arena) -> Probe:
    return Probe(arena, await arena.load.create())
