"""API5: every scope at every route, and no route that is in no table."""

from typing import cast

import pytest

from schemas.ids import Prefix
from services.api.application import ROUTES, Route, build_application
from services.api.calls import Api
from services.core.controlplane import SCOPES
from tests.integration.api.conftest import NewCaller
from tests.integration.api.scenes import IDS
from tests.integration.api.test_route_matrix import IMPLIES

WITHOUT_A_KEY = {"/openapi.json", "/docs", "/docs/{name}"}
SIGNED = {("GET", "/media/{key}"), ("HEAD", "/media/{key}"), ("PUT", "/media/uploads/{key}")}
MEDIA = "media:read"


def allowed(scope: str, route: Route) -> bool:
    return route.scope is None or scope in {"*", route.scope, IMPLIES.get(route.scope)}


@pytest.mark.parametrize("scope", [*SCOPES, "none"])
async def test_a_scope_opens_its_routes_and_no_other(new: NewCaller, scope: str) -> None:
    caller = await new(scope if scope != "none" else "webhooks:write")
    scope = "webhooks:write" if scope == "none" else scope
    ids = {
        "projectId": "00000000-0000-4000-8000-000000000000",
        "influencerId": IDS.new(Prefix.INFLUENCER),
        "jobId": IDS.new(Prefix.JOB),
        "assetId": IDS.new(Prefix.ASSET),
    }
    for route in ROUTES:
        answer = await caller.send(route.method, route.path.format_map(ids))
        opened = answer.status not in (401, 403)
        assert opened == allowed(scope, route), (scope, route.method, route.path, answer)
        if route.method == "GET":
            head = await caller.send("HEAD", route.path.format_map(ids))
            assert (head.status not in (401, 403)) == opened, route.path
    media = await caller.get(f"/media/{caller.organization_id}/{caller.project_id}/x.png")
    assert (media.status == 403) == (scope not in ("*", MEDIA))


def test_no_route_is_open_that_is_in_no_table() -> None:
    """A new one needs a scope in ROUTES, or a line here and a reason in SECURITY.md."""
    application = build_application(cast(Api, None))
    served = {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None
    }
    tabled = {(route.method, route.path) for route in ROUTES}
    tabled |= {("HEAD", path) for method, path in tabled if method == "GET"}
    others = {one for one in served - tabled if one[1] not in WITHOUT_A_KEY}
    assert others == SIGNED
    assert tabled <= served


def test_a_route_needs_a_scope_unless_it_shows_the_keys_own_organization() -> None:
    without = {route.path for route in ROUTES if route.scope is None}
    assert without == {"/v1/whoami", "/v1/projects", "/v1/projects/{projectId}"}
    assert {route.scope for route in ROUTES} - {None} <= set(SCOPES)
    assert not [r for r in ROUTES if r.method != "GET" and (r.scope or "").endswith(":read")]
