"""API3: no body sets what is not the caller's to set; every route of the table that takes one."""

from typing import Any

import pytest

from services.api.application import ROUTES, Route
from tests.integration.api.calling import Caller
from tests.integration.api.serving import Service
from tests.integration.api.test_route_matrix import Things, named

OURS = {
    "organizationId": "00000000-0000-4000-8000-000000000000",
    "organization_id": "00000000-0000-4000-8000-000000000000",
    "projectId": "00000000-0000-4000-8000-000000000000",
    "status": "ready",
    "sequence": 1,
    "jobId": "job_01HXZ9G7KMV2QX8Y1S5RJW3B7T",
    "createdAt": "2020-01-01T00:00:00.000Z",
    "deletedAt": None,
    "scopes": ["*"],
    "rateLimitTier": "internal",
    "source": "/services/renderer",
    "url": "https://example.com/x.png",
    "requested_by": "key_x",
    "__proto__": {"status": "ready"},
    "__class__": "x",
    "constructor": {},
}
CHANGING = [route for route in ROUTES if route.method != "GET"]
NESTED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "POST /v1/projects/{projectId}/influencers": [
        ("personality", {"name": "Ava"}),
        ("referenceImages", {"name": "Ava"}),
    ],
    "PATCH /v1/influencers/{influencerId}": [("personality", {})],
    "POST /v1/influencers/{influencerId}/clone": [("overrides", {"name": "Bea"})],
}


@pytest.mark.parametrize("route", CHANGING, ids=named)
async def test_what_is_ours_can_not_be_set(caller: Caller, service: Service, route: Route) -> None:
    things = await Things.of(caller, service)
    influencer = f"/v1/influencers/{things.ids['influencerId']}"
    before = (await caller.get(influencer)).json
    path, body = things.path(route), things.body(route) or {}
    answer = await caller.send(route.method, path, {**body, **OURS})
    for name in OURS:
        assert answer.field_errors[name] == ["Unknown field"], name
    for name, beside in NESTED.get(named(route), []):
        answer = await caller.send(route.method, path, {**beside, name: OURS})
        for field in OURS:
            assert answer.field_errors[f"{name}.{field}"] == ["Unknown field"], (name, field)
    assert timeless((await caller.get(influencer)).json) == timeless(before)


def timeless(record: dict[str, Any]) -> str:
    """Without the signatures of its URLs, which are made anew."""
    return str({**record, "referenceImages": len(record["referenceImages"]), "thumbnailUrl": None})


async def test_a_query_sets_nothing_either(caller: Caller) -> None:
    created = await caller.post(f"{caller.influencers}?status=ready&sequence=9", {"name": "Ava"})
    record = (await caller.get(f"/v1/influencers/{created.json['influencerId']}")).json
    assert (record["status"], record["sequence"]) == ("pending", 1)
