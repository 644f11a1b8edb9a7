"""Every route of the table: with its own key, a stranger's, a revoked one, one without the scope.

A new route is in here by being in the table; where it needs a body, `bodies` may have one.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from schemas.ids import Prefix
from services.api.application import ROUTES, Route
from services.api.handlers import uploads
from services.core.controlplane import revoke_key
from services.core.domain.commands import CancelJob
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import inline, media_of, picture, presign
from tests.integration.api.scenes import (
    IDS,
    Scene,
    add_asset,
    project_history,
    reference_image_ids,
)
from tests.integration.api.serving import Service

OTHER_SCOPES = ("influencers:read", "influencers:write", "jobs:read", "jobs:cancel", "media:read",
                "media:write", "content:write", "events:read", "webhooks:write")  # fmt: skip
IMPLIES = {"influencers:read": "influencers:write"}


@dataclass(frozen=True)
class Things:
    """One of each kind of thing a path can name; they belong together."""

    caller: Caller
    ids: dict[str, str]

    @classmethod
    async def of(cls, caller: Caller, service: Service) -> "Things":
        scene = await Scene.started(caller, service)
        asset = await add_asset(caller, service)
        await scene.link(asset)
        stream = (caller.organization_id, scene.influencer_id)
        await service.append(CancelJob(*stream, scene.job_id, requested_by="key_x"))
        await project_history(scene)
        ids = {
            "projectId": caller.project_id,
            "influencerId": scene.influencer_id,
            "jobId": scene.job_id,
            "assetId": asset,
        }
        return cls(caller, ids)

    def path(self, route: Route) -> str:
        return route.path.format_map(self.ids)

    def body(self, route: Route) -> Any:
        return bodies(self.ids).get(f"{route.method} {route.path}")


def bodies(ids: dict[str, str]) -> dict[str, Any]:
    influencer = "/v1/influencers/{influencerId}"
    return {
        "POST /v1/projects/{projectId}/influencers": {"name": "Ava"},
        "POST /v1/projects/{projectId}/media": inline(picture()),
        "POST /v1/projects/{projectId}/media/presign": {"kind": "image", "mimeType": "image/png"},
        "POST /v1/projects/{projectId}/content": {
            "influencerId": ids["influencerId"],
            "brief": "Good morning",
        },
        f"PATCH {influencer}": {"vibe": "calm"},
        f"POST {influencer}/clone": {"name": "Bea"},
        f"POST {influencer}/reference-images": {"assetIds": [ids["assetId"]]},
    }


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


every_route = pytest.mark.parametrize("route", ROUTES, ids=named)
every_route_with_a_scope = pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.scope], ids=named
)
every_route_that_takes_a_body = pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if "{" in route.path and route.method != "GET"],
    ids=named,
)
every_route_with_ids = pytest.mark.parametrize(
    "route", [route for route in ROUTES if "{" in route.path], ids=named
)


@pytest.fixture
async def things(caller: Caller, service: Service) -> Things:
    return await Things.of(caller, service)


async def sent(at: Caller, route: Route, path: str, body: Any = None) -> Answer:
    return await at.send(route.method, path, body)


@every_route
async def test_with_its_scope_alone_a_route_answers(
    things: Things, new: NewCaller, route: Route
) -> None:
    caller = things.caller
    colleague = await new(
        route.scope or "events:read",
        organization_id=caller.organization_id,
        project_id=caller.project_id,
    )
    body = things.body(route)
    answer = await sent(colleague, route, things.path(route), body)
    if route.handler is uploads.finalize_upload:  # past its scope; it needs an upload
        assert answer.status == 415, answer
        return
    assert answer.status < 300, answer
    if route.method == "GET" and "json" in answer.headers["Content-Type"]:
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Vary"] == "X-Api-Key, Authorization"


@every_route_with_ids
async def test_what_is_another_organizations_does_not_exist(
    things: Things, service: Service, new: NewCaller, route: Route
) -> None:
    stranger = await new()
    own = await Things.of(stranger, service)
    path, body = things.path(route), things.body(route)
    foreign = await sent(stranger, route, path, body)
    prefixes = {"influencerId": Prefix.INFLUENCER, "jobId": Prefix.JOB, "assetId": Prefix.ASSET}
    random = {name: IDS.new(prefix) for name, prefix in prefixes.items()}
    random["projectId"] = "00000000-0000-4000-8000-000000000000"
    unknown = await sent(stranger, route, route.path.format_map(random), body)
    assert (foreign.status, foreign.code) == (404, "NOT_FOUND")
    assert without_request_id(foreign) == without_request_id(unknown)
    for name in own.ids:
        mixed = route.path.format_map({**own.ids, name: things.ids[name]})
        if mixed != own.path(route):
            assert (await sent(stranger, route, mixed, body)).code == "NOT_FOUND", mixed


def without_request_id(answer: Answer) -> dict[str, Any]:
    return {**answer.json["error"], "requestId": None}


@every_route
async def test_a_revoked_key_is_refused(
    things: Things, service: Service, new: NewCaller, route: Route
) -> None:
    caller = things.caller
    revoked = await new(organization_id=caller.organization_id, project_id=caller.project_id)
    async with service.pool.acquire() as connection:
        await revoke_key(connection, revoked.key_id)  # type: ignore[arg-type]
    for at in (revoked, replace(caller, key=None)):
        answer = await sent(at, route, things.path(route), things.body(route))
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")


@every_route_with_a_scope
async def test_without_its_scope_a_route_is_forbidden_before_anything_is_looked_at(
    things: Things, new: NewCaller, route: Route
) -> None:
    assert route.scope
    lacking = {route.scope, IMPLIES.get(route.scope)}
    scopes = [scope for scope in OTHER_SCOPES if scope not in lacking]
    caller = await new(*scopes, organization_id=things.caller.organization_id)
    for path in (things.path(route), route.path.replace("{", "").replace("}", "")):
        answer = await sent(caller, route, path, b"{")
        assert (answer.status, answer.code) == (403, "FORBIDDEN_SCOPE")
        assert answer.details == {"requiredScope": route.scope}


@every_route_with_ids
async def test_what_is_no_id_is_not_found(things: Things, route: Route) -> None:
    names = [name for name in things.ids if f"{{{name}}}" in route.path]
    for name in names:
        for wrong in (
            "nonsense",
            "%00",
            "..%2F..",
            "%F0%9F%92%83",
            "evt_01HXZ9G7KMV2QX8Y1S5RJW3B7T",
        ):
            path = route.path.format_map({**things.ids, name: wrong})
            answer = await sent(things.caller, route, path, things.body(route))
            assert answer.code == "NOT_FOUND", path


@every_route_that_takes_a_body
async def test_a_path_of_nothing_is_looked_at_before_its_body(route: Route, new: NewCaller) -> None:
    caller = await new()
    path = route.path.format_map(
        {
            "projectId": "00000000-0000-4000-8000-000000000000",
            "influencerId": IDS.new(Prefix.INFLUENCER),
            "jobId": IDS.new(Prefix.JOB),
            "assetId": IDS.new(Prefix.ASSET),
        }
    )
    assert (await sent(caller, route, path, b"{")).code == "NOT_FOUND"


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_other_methods_are_not_allowed_and_the_allowed_ones_told(
    things: Things, path: str
) -> None:
    allowed = {route.method for route in ROUTES if route.path == path}
    allowed |= {"HEAD"} if "GET" in allowed else set()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
        answer = await things.caller.send(method, path.format_map(things.ids))
        assert answer.status == 405, (method, path)
        assert answer.headers["Allow"] == ", ".join(sorted(allowed))


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=named)
async def test_head_answers_as_get_does(things: Things, route: Route) -> None:
    path = things.path(route)
    got, head = await things.caller.get(path), await things.caller.send("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    for header in ("ETag", "Content-Type", "Cache-Control", "Vary"):
        assert head.headers.get(header) == got.headers.get(header)


@pytest.fixture
async def sisters(things: Things, service: Service, new: NewCaller) -> Things:
    """The same kinds of things, in another project of the same organization."""
    return await Things.of(await new(organization_id=things.caller.organization_id), service)


@every_route_with_ids
async def test_what_is_in_a_sister_project_is_there_for_the_same_key(
    things: Things, sisters: Things, route: Route
) -> None:
    caller = things.caller
    own = await sent(caller, route, things.path(route), things.body(route))
    theirs = await sent(caller, route, sisters.path(route), sisters.body(route))
    assert (theirs.status, theirs.headers.get("Content-Type")) == (
        own.status,
        own.headers.get("Content-Type"),
    )


async def test_what_a_body_names_of_a_sister_project_is_a_fault_or_drops_out(
    things: Things, sisters: Things
) -> None:
    caller, assets = things.caller, {"assetIds": [sisters.ids["assetId"]]}
    upload = await presign(sisters.caller)
    for path, body, field in (
        (caller.influencers, {"name": "Ava", "referenceImages": assets}, "referenceImages"),
        (f"{media_of(caller)}/finalize", {"uploadId": upload["uploadId"]}, "uploadId"),
    ):
        [name] = (await caller.post(path, body)).field_errors
        assert name.startswith(field)
    influencer = f"/v1/influencers/{things.ids['influencerId']}"
    linked = await caller.post(f"{influencer}/reference-images", assets)
    assert reference_image_ids(linked.json) == [things.ids["assetId"]]
    unlinked = await caller.delete(f"{influencer}/reference-images/{sisters.ids['assetId']}")
    assert unlinked.code == "NOT_FOUND"


async def test_content_may_show_an_influencer_of_a_sister_project(
    things: Things, sisters: Things
) -> None:
    caller = things.caller
    body = {"influencerId": sisters.ids["influencerId"], "brief": "Good morning"}
    accepted = await caller.post(f"/v1/projects/{caller.project_id}/content", body)
    assert accepted.status == 202
    assert (await caller.get(accepted.json["locationUrl"])).json["projectId"] == caller.project_id
