"""429 before anything but 401 and 403; the limit headers; one limit over all replicas."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import aiohttp
import pytest

from services.api.rate_limit_exchange import KEPT, RateLimitExchange
from services.api.rate_limits import WINDOW, RateLimits
from services.core.errors import DependencyUnavailable
from services.core.postgres import open_pool
from tests.integration.api.calling import PROBLEM, Answer, Caller, new_caller
from tests.integration.api.gate import Gate
from tests.integration.api.serving import Service, serving
from tests.waiting import eventually

WHOAMI = "/v1/whoami"
UNKNOWN_ID = "01HXZ9G7KMV2QX8Y1S5RJW3B7T"
LONG_LIMIT = 20


@dataclass
class Time:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Replica:
    service: Service
    limits: RateLimits
    exchange: RateLimitExchange


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def here(database_url: str, time: Time) -> AsyncIterator[Replica]:
    limits = RateLimits(time)
    async with serving(database_url, rate_limits=limits) as service:
        yield Replica(service, limits, RateLimitExchange(service.pool, limits))


@pytest.fixture
async def there(database_url: str, time: Time) -> AsyncIterator[Replica]:
    limits = RateLimits(time)
    async with serving(database_url, rate_limits=limits) as service:
        yield Replica(service, limits, RateLimitExchange(service.pool, limits))


@pytest.fixture
async def caller(http: aiohttp.ClientSession, here: Replica) -> Caller:
    return await new_caller(http, here.service, tier="standard")


def remaining(answer: Answer) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


async def start_nothing(caller: Caller) -> Answer:
    """A request of the long-running class that fails for its body."""
    return await caller.post(caller.influencers, {"name": ""})


async def use_up(caller: Caller) -> None:
    for _ in range(LONG_LIMIT):
        assert (await start_nothing(caller)).status == 422


async def test_every_response_to_a_known_key_tells_its_limit(caller: Caller, time: Time) -> None:
    await caller.get(WHOAMI)
    time.now += 29.5
    answer = await caller.get(WHOAMI)
    told = {name: value for name, value in answer.headers.items() if "ratelimit" in name.lower()}
    assert told == {
        "X-RateLimit-Limit": "120",
        "X-RateLimit-Remaining": "118",
        "X-RateLimit-Reset": "31",
        "X-RateLimit-Endpoint-Class": "read",
        "RateLimit-Policy": '"read";q=120;w=60',
        "RateLimit": '"read";r=118;t=31',
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "limit_class"),
    [
        ("GET", f"/v1/jobs/{UNKNOWN_ID}", 404, "read"),
        ("HEAD", f"/v1/jobs/{UNKNOWN_ID}", 404, "read"),
        ("GET", "/v1/jobs/nonsense", 404, "read"),
        ("GET", "/v1/projects?limit=0", 422, "read"),
        ("GET", "/media/nonsense", 404, "read"),
        ("POST", f"/v1/jobs/{UNKNOWN_ID}/cancel", 404, "write"),
        ("POST", "/v1/projects/nonsense/influencers", 404, "long-running"),
        ("POST", f"/v1/influencers/{UNKNOWN_ID}/render", 404, "long-running"),
    ],
)
async def test_an_error_after_authentication_tells_it_and_costs_one(
    caller: Caller, method: str, path: str, status: int, limit_class: str
) -> None:
    answer = await caller.send(method, path, {} if method == "POST" else None)
    assert answer.status == status
    assert answer.headers["X-RateLimit-Endpoint-Class"] == limit_class
    assert remaining(answer) == int(answer.headers["X-RateLimit-Limit"]) - 1


async def test_a_forbidden_request_tells_the_limit_and_costs_nothing(
    http: aiohttp.ClientSession, here: Replica
) -> None:
    caller = await new_caller(http, here.service, "jobs:read", tier="standard")
    answer = await caller.post(caller.influencers, {"name": "Ava"})
    assert answer.status == 403
    assert remaining(answer) == LONG_LIMIT


async def test_an_unknown_key_is_told_nothing(caller: Caller) -> None:
    answer = await caller.get(WHOAMI, X_Api_Key="isk_nobody")
    assert answer.status == 401
    assert not [name for name in answer.headers if "ratelimit" in name.lower()]


async def test_over_the_limit_is_rate_limited_before_the_path_and_the_body_are_looked_at(
    caller: Caller, time: Time
) -> None:
    await use_up(caller)
    time.now += 10.5
    for path in (caller.influencers, "/v1/projects/nonsense/influencers"):
        answer = await caller.send("POST", path, b"{", headers={"Content-Type": "text/plain"})
        assert (answer.status, answer.code, answer.details) == (429, "RATE_LIMITED", None)
        assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"] == "50"
        assert answer.headers["RateLimit"] == '"long-running";r=0;t=50'
    assert (await caller.get(WHOAMI)).status == 200
    time.now += 50
    assert (await start_nothing(caller)).status == 422


async def test_403_comes_before_429(
    http: aiohttp.ClientSession, here: Replica, caller: Caller
) -> None:
    await use_up(caller)
    await here.service.pool.execute(
        "update control.api_keys set scopes = '{}' where key_id = $1", caller.key_id
    )

    async def forbidden() -> bool:
        return (await start_nothing(caller)).status == 403

    await eventually("the key is read anew", forbidden, within=2)


async def test_a_rate_limited_problem_has_the_same_headers(caller: Caller) -> None:
    await use_up(caller)
    answer = await caller.post(caller.influencers, {}, Accept=PROBLEM)
    assert (answer.status, answer.json["code"]) == (429, "RATE_LIMITED")
    assert answer.headers["Retry-After"] == answer.headers["X-RateLimit-Reset"]


async def test_refused_requests_do_not_move_the_reset(caller: Caller, time: Time) -> None:
    await use_up(caller)
    for second in range(1, WINDOW):
        time.now += 1
        answer = await start_nothing(caller)
        assert answer.status == 429
        assert answer.headers["Retry-After"] == str(WINDOW - second)
    time.now += 1
    assert (await start_nothing(caller)).status == 422


async def test_a_304_costs_nothing(caller: Caller) -> None:
    influencer = await caller.create()
    path = f"/v1/influencers/{influencer['influencerId']}"
    etag = (await caller.get(path)).headers["ETag"]
    before = remaining(await caller.get(path))
    for _ in range(3):
        answer = await caller.get(path, If_None_Match=etag)
        assert (answer.status, remaining(answer)) == (304, before)
    assert remaining(await caller.get(path)) == before - 1


async def test_a_stream_tells_the_limit_and_costs_one(caller: Caller) -> None:
    job = (await caller.create())["jobId"]
    before = remaining(await caller.get(WHOAMI))
    url = f"{caller.base_url}/v1/jobs/{job}/events"
    headers = {"X-Api-Key": caller.key or "", "Accept": "text/event-stream"}
    async with caller.http.get(url, headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        assert int(stream.headers["X-RateLimit-Remaining"]) == before - 1


async def test_a_replay_counts_like_any_request(caller: Caller) -> None:
    body, headers = {"name": "Ava"}, {"Idempotency_Key": "once"}
    first = await caller.post(caller.influencers, body, **headers)
    again = await caller.post(caller.influencers, body, **headers)
    assert (first.status, again.status) == (202, 202)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert remaining(again) == remaining(first) - 1


async def test_another_key_of_the_organization_has_its_own_limit(
    http: aiohttp.ClientSession, here: Replica, caller: Caller
) -> None:
    await use_up(caller)
    other = await new_caller(
        http,
        here.service,
        organization_id=caller.organization_id,
        project_id=caller.project_id,
        tier="standard",
    )
    assert remaining(await start_nothing(other)) == LONG_LIMIT - 1


async def test_the_internal_tier_is_told_the_class_alone(
    http: aiohttp.ClientSession, here: Replica
) -> None:
    caller = await new_caller(http, here.service, tier="internal")
    answer = await caller.get(WHOAMI)
    told = {name: value for name, value in answer.headers.items() if "ratelimit" in name.lower()}
    assert told == {"X-RateLimit-Endpoint-Class": "read"}


async def test_one_limit_holds_over_two_replicas(
    here: Replica, there: Replica, caller: Caller
) -> None:
    elsewhere = caller.at(there.service)
    for _ in range(LONG_LIMIT // 2):
        assert (await start_nothing(caller)).status == 422
    await here.exchange.exchange()
    await there.exchange.exchange()
    for left in reversed(range(LONG_LIMIT // 2)):
        assert remaining(await start_nothing(elsewhere)) == left
    assert (await start_nothing(elsewhere)).status == 429
    await there.exchange.exchange()
    await here.exchange.exchange()
    assert (await start_nothing(caller)).status == 429


async def test_a_replica_that_starts_counts_what_was_charged_in_the_last_minute(
    here: Replica, there: Replica, caller: Caller
) -> None:
    await use_up(caller)
    await here.exchange.exchange()
    await there.exchange.exchange()
    assert (await start_nothing(caller.at(there.service))).status == 429


async def test_what_was_charged_while_postgres_was_away_is_told_once_when_it_is_back(
    database_url: str, there: Replica, caller: Caller, here: Replica
) -> None:
    async with Gate.to(database_url) as gate:
        pool = await open_pool(gate.database_url, size=1, application="test")
        exchange = RateLimitExchange(pool, here.limits)
        await start_nothing(caller)
        await gate.close()
        with pytest.raises(DependencyUnavailable):
            await exchange.exchange()
        await start_nothing(caller)
        await gate.open()
        await exchange.exchange()
        await exchange.exchange()
        pool.terminate()
    await there.exchange.exchange()
    await there.exchange.exchange()
    answer = await start_nothing(caller.at(there.service))
    assert remaining(answer) == LONG_LIMIT - 3


async def test_old_messages_are_forgotten(here: Replica, there: Replica, caller: Caller) -> None:
    await start_nothing(caller)
    await here.exchange.exchange()
    pool = here.service.pool
    await pool.execute(
        "update control.rate_limit_charges set charged_at = now() - $1 * interval '1 second'",
        KEPT + 1,
    )
    await there.exchange.exchange()
    assert await pool.fetchval("select count(*) from control.rate_limit_charges") == 0
    assert remaining(await start_nothing(caller.at(there.service))) == LONG_LIMIT - 1


@pytest.mark.parametrize(
    ("method", "path", "status", "limit_class"),
    [
        ("GET", "/v1/nothing", 404, "read"),
        ("HEAD", "/nothing", 404, "read"),
        ("POST", "/v1/nothing", 404, "write"),
        ("DELETE", WHOAMI, 405, "write"),
        ("GET", f"/v1/jobs/{UNKNOWN_ID}/cancel", 405, "read"),
    ],
)
async def test_what_no_route_takes_counts_too(
    caller: Caller, method: str, path: str, status: int, limit_class: str
) -> None:
    limit = {"read": 120, "write": 60}[limit_class]
    for used in (1, 2):
        answer = await caller.send(method, path)
        assert answer.status == status
        assert answer.headers["X-RateLimit-Endpoint-Class"] == limit_class
        assert remaining(answer) == limit - used


async def test_beyond_the_limit_what_no_route_takes_is_refused_like_anything(
    caller: Caller,
) -> None:
    for _ in range(60):
        assert (await caller.post("/v1/nothing")).status == 404
    answer = await caller.send("DELETE", WHOAMI)
    assert (answer.status, answer.code) == (429, "RATE_LIMITED")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("key", [None, "nonsense", "infk_unknown"])
async def test_what_no_route_takes_asks_for_no_key(caller: Caller, key: str | None) -> None:
    stranger = replace(caller, key=key)
    for method, path, status in (("GET", "/v1/nothing", 404), ("DELETE", WHOAMI, 405)):
        answer = await stranger.send(method, path)
        assert answer.status == status
        assert not [name for name in answer.headers if "ratelimit" in name.lower()]
