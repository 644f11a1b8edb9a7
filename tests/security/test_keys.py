"""API2: what a key is made of, how it is kept, and that a refusal tells nothing of it."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.ids import UlidSource
from services.api import authentication
from services.core.controlplane import FIND_KEY, ApiKey, hash_of, new_api_key, revoke_key
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import Service
from tests.security.timing import same_time

WHOAMI = "/v1/whoami"
OF_ONE_ANSWER = {"date", "x-request-id"}


def test_a_key_carries_256_random_bits() -> None:
    keys = [new_api_key(UlidSource())[0] for _ in range(200)]
    secrets = [urlsafe_b64decode(key.split("_", 2)[2] + "=") for key in keys]
    assert {len(secret) for secret in secrets} == {32}
    assert len(set(secrets)) == 200
    # Each of the 256 bits is set in some and not in others.
    numbers = [int.from_bytes(secret) for secret in secrets]
    for bit in range(256):
        assert 50 < sum(number >> bit & 1 for number in numbers) < 150
    assert all(re.fullmatch(r"isk_[0-9A-HJKMNP-TV-Z]{26}_[\w-]{43}", key) for key in keys)


async def test_a_key_is_found_by_the_index_of_its_prefix(service: Service, caller: Caller) -> None:
    async with service.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        plan = await connection.fetch(f"explain {FIND_KEY}", caller.key_id)
    lines = "\n".join(row[0] for row in plan)
    assert re.search(r"Index Scan using api_keys_pkey on api_keys", lines), lines
    assert "Index Cond: (key_id = " in lines


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("services.core.controlplane.secrets.compare_digest", compare)
    revoked = datetime(2026, 1, 1, tzinfo=UTC)
    key = ApiKey("key_x", hash_of("right"), "o", "O", (), "standard", revoked, revoked)
    assert not key.is_valid(hash_of("wrong"), datetime.now(UTC))
    assert compared == [(hash_of("right"), hash_of("wrong"))]


@pytest.fixture
async def refused(new: NewCaller, service: Service) -> dict[str, Caller]:
    """Callers that may not come in, by why."""
    revoked, expired, known = await new(), await new(), await new()
    async with service.pool.acquire() as connection:
        await revoke_key(connection, revoked.key_id)  # type: ignore[arg-type]
    await service.pool.execute(
        "update control.api_keys set expires_at = $2 where key_id = $1",
        expired.key_id,
        datetime.now(UTC) - timedelta(days=1),
    )
    unknown, _ = new_api_key(UlidSource())
    assert known.key
    wrong = f"{known.key[:-43]}{'A' * 43}"
    return {
        "unknown": replace(known, key=unknown),
        "wrong": replace(known, key=wrong),
        "revoked": revoked,
        "expired": expired,
    }


def without_request_id(answer: Answer) -> tuple[int, Any, dict[str, str]]:
    headers = {
        name: value for name, value in answer.headers.items() if name.lower() not in OF_ONE_ANSWER
    }
    return answer.status, {**answer.json["error"], "requestId": None}, headers


async def test_why_a_key_is_refused_is_not_told(refused: dict[str, Caller]) -> None:
    answers = [without_request_id(await at.get(WHOAMI)) for at in refused.values()]
    assert answers[0][0] == 401
    for answer in answers:
        assert answer == answers[0]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("why", ["revoked", "expired", "wrong"])
async def test_nor_by_how_long_it_takes(
    refused: dict[str, Caller], why: str, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CACHED_FOR", 60.0 if cached else 0.0)

    def asking(at: Caller) -> Callable[[], Awaitable[Any]]:
        return lambda: at.get(WHOAMI)

    await same_time(asking(refused["unknown"]), asking(refused[why]))


async def test_a_key_in_the_query_or_in_a_cookie_is_none(caller: Caller) -> None:
    """There it would end up in logs and in what browsers send by themselves."""
    nameless = replace(caller, key=None)
    for name in ("api_key", "apiKey", "key", "access_token", "X-Api-Key"):
        assert (await nameless.get(f"{WHOAMI}?{name}={caller.key}")).status == 401
        cookie = {"Cookie": f"{name}={caller.key}"}
        assert (await nameless.send("GET", WHOAMI, headers=cookie)).status == 401
