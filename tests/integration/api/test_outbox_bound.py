"""While Kafka is away: requests are accepted up to a bound, and clearly refused beyond it."""

import aiohttp

from tests.integration.api.calling import new_caller
from tests.integration.api.serving import serving

LIMIT = 4


async def test_before_the_bound_202_and_at_the_bound_503(
    database_url: str, http: aiohttp.ClientSession
) -> None:
    """No relay runs here: whatever is appended stays in the outbox."""
    async with serving(database_url, outbox_limit=LIMIT) as service:
        caller = await new_caller(http, service)
        path = f"/v1/projects/{caller.project_id}/influencers"
        for _ in range(LIMIT):
            await service.outbox_bound.look()
            answer = await caller.post(path, {"name": "Ava"})
            assert answer.status == 202, answer

        await service.outbox_bound.look()
        created = await service.pool.fetchval("select count(*) from event_log.streams")
        refused = await caller.post(path, {"name": "Ava"})

        assert (refused.status, refused.code) == (503, "UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
        assert await service.pool.fetchval("select count(*) from event_log.streams") == created
        assert (await caller.get(path)).status == 200

        # Gaps between ids are no events.
        await service.pool.execute("delete from event_log.outbox where outbox_id in (2, 3)")
        await service.outbox_bound.look()
        assert (await caller.post(path, {"name": "Ava"})).status == 202
