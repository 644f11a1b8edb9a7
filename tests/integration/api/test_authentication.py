"""401 and 403: who may call at all, and what a key may do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from services.core.controlplane import hash_of, revoke_key
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import Service
from tests.waiting import eventually

WHOAMI = "/v1/whoami"
UNKNOWN_ID = "01HXZ9G7KMV2QX8Y1S5RJW3B7T"


async def test_whoami_tells_the_key_without_its_secret(new: NewCaller) -> None:
    caller = await new("influencers:read", "jobs:cancel", tier="pilot")
    answer = await caller.get(WHOAMI)
    assert answer.status == 200
    assert answer.json == {
        "organizationId": caller.organization_id,
        "organizationName": "Acme",
        "scopes": ["influencers:read", "jobs:cancel"],
        "rateLimitTier": "pilot",
        "apiKeyId": caller.key_id,
    }
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "x",
        "isk_",
        "isk_short_secret",
        f"isk_{UNKNOWN_ID}_",
        f"isk_{UNKNOWN_ID}_{'a' * 43}",
        f"ISK_{UNKNOWN_ID}_{'a' * 43}",
        f"isk_{UNKNOWN_ID}_{'a' * 500}",
        f"isk_{'é' * 26}_secret",
        "isk_' or true --_x",
    ],
)
async def test_no_key_a_malformed_one_and_an_unknown_one_are_unauthenticated(
    caller: Caller, key: str | None
) -> None:
    stranger = replace(caller, key=None)
    headers = {} if key is None else {"X-Api-Key": key}
    answer = await stranger.send("GET", WHOAMI, headers=headers)
    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"]


async def test_a_right_key_id_with_a_wrong_secret_is_unauthenticated(caller: Caller) -> None:
    assert caller.key
    for wrong in (caller.key[:-1], caller.key + "x", caller.key.lower()):
        assert (await replace(caller, key=wrong).get(WHOAMI)).status == 401


async def test_a_bearer_token_works_and_x_api_key_decides(caller: Caller, new: NewCaller) -> None:
    other = await new()
    bearer = {"Authorization": f"Bearer {caller.key}"}
    nameless = replace(caller, key=None)
    assert (await nameless.send("GET", WHOAMI, headers=bearer)).json["apiKeyId"] == caller.key_id
    lower = {"authorization": f"bearer {caller.key}"}
    assert (await nameless.send("GET", WHOAMI, headers=lower)).status == 200
    both = await other.send("GET", WHOAMI, headers=bearer)
    assert both.json["apiKeyId"] == other.key_id
    for bad in ("", "nonsense"):
        refused = await nameless.send("GET", WHOAMI, headers={**bearer, "X-Api-Key": bad})
        assert refused.status == 401


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
async def test_another_scheme_is_unauthenticated(caller: Caller, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {caller.key}"}
    assert (await replace(caller, key=None).send("GET", WHOAMI, headers=headers)).status == 401


async def test_a_revoked_key_is_refused_within_a_second_on_every_replica(
    caller: Caller, service: Service, replica: Service
) -> None:
    elsewhere = caller.at(replica)
    assert (await caller.get(WHOAMI)).status == 200
    assert (await elsewhere.get(WHOAMI)).status == 200
    async with service.pool.acquire() as connection:
        await revoke_key(connection, caller.key_id)  # type: ignore[arg-type]

    async def refused() -> bool:
        answers = [await caller.get(WHOAMI), await elsewhere.get(WHOAMI)]
        return [answer.code for answer in answers] == ["UNAUTHENTICATED"] * 2

    await eventually("the revocation is in force", refused, within=1.0)


async def test_an_expired_key_is_refused(caller: Caller, service: Service) -> None:
    at = datetime.now(UTC) - timedelta(seconds=1)
    await service.pool.execute(
        "update control.api_keys set expires_at = $2 where key_id = $1", caller.key_id, at
    )
    assert (await caller.get(WHOAMI)).code == "UNAUTHENTICATED"


async def test_a_key_that_has_not_expired_yet_works_until_then(
    caller: Caller, service: Service
) -> None:
    at = datetime.now(UTC) + timedelta(milliseconds=700)
    await service.pool.execute(
        "update control.api_keys set expires_at = $2 where key_id = $1", caller.key_id, at
    )
    assert (await caller.get(WHOAMI)).status == 200

    async def refused() -> bool:
        return (await caller.get(WHOAMI)).status == 401

    await eventually("the key expires", refused, within=1.2)


async def test_only_the_hash_of_a_key_is_stored(caller: Caller, service: Service) -> None:
    assert caller.key
    row = await service.pool.fetchrow(
        "select * from control.api_keys where key_id = $1", caller.key_id
    )
    assert row is not None
    assert row["key_hash"] == hash_of(caller.key)
    assert caller.key.split("_", 2)[2] not in str(dict(row))


SCOPED = [
    ("POST", "/v1/projects/{project}/influencers", "influencers:write"),
    ("GET", "/v1/projects/{project}/influencers", "influencers:read"),
    ("GET", "/v1/influencers/{id}", "influencers:read"),
    ("GET", "/v1/jobs/{id}", "jobs:read"),
    ("POST", "/v1/jobs/{id}/cancel", "jobs:cancel"),
    ("GET", "/media/{organization}/{project}/x.png", "media:read"),
]


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
async def test_a_route_without_its_scope_is_forbidden_before_anything_else_is_looked_at(
    new: NewCaller, method: str, path: str, scope: str
) -> None:
    granted = {"influencers:read", "influencers:write", "jobs:read", "jobs:cancel", "media:read"}
    granted -= {scope, "influencers:write"} if scope == "influencers:read" else {scope}
    caller = await new(*granted)
    path = path.format(
        project=caller.project_id, organization=caller.organization_id, id="not an id"
    ).replace(" ", "%20")
    answer = await caller.send(method, path, b"{", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (403, "FORBIDDEN_SCOPE")
    assert answer.details == {"requiredScope": scope}


async def test_a_key_without_scopes_may_ask_who_it_is_and_nothing_more(
    new: NewCaller, service: Service
) -> None:
    caller = await new("jobs:read")
    await service.pool.execute(
        "update control.api_keys set scopes = '{}' where key_id = $1", caller.key_id
    )
    assert (await caller.get(WHOAMI)).json["scopes"] == []
    assert (await caller.get(caller.influencers)).code == "FORBIDDEN_SCOPE"


async def test_write_implies_read_and_not_the_other_way_round(new: NewCaller) -> None:
    writer = await new("influencers:write")
    created = await writer.create()
    assert (await writer.get(f"/v1/influencers/{created['influencerId']}")).status == 200
    assert (await writer.get(f"/v1/jobs/{created['jobId']}")).code == "FORBIDDEN_SCOPE"
    reader = await new("influencers:read")
    answer = await reader.post(reader.influencers, {"name": "Ava"})
    assert answer.details == {"requiredScope": "influencers:write"}


async def test_401_comes_before_404_and_413(caller: Caller) -> None:
    stranger = replace(caller, key=None)
    for path in ("/v1/projects/nonsense/influencers", caller.influencers):
        answer = await stranger.post(path, b" " * 2**21)
        assert answer.status == 401


async def test_two_different_keys_in_one_header_are_no_key(caller: Caller, new: NewCaller) -> None:
    other = await new()
    headers = CIMultiDict([("X-Api-Key", caller.key or ""), ("X-Api-Key", other.key or "")])
    answer = await replace(caller, key=None).send("GET", WHOAMI, headers=headers)
    assert answer.status == 401
