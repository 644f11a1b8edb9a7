"""`Idempotency-Key` on every route that changes something, also once its influencer is gone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.api.calling import Answer, Caller
from tests.integration.api.scenes import Scene, add_asset
from tests.integration.api.serving import Service

KEY = "6f1c0e0a-order-18"


@dataclass(frozen=True)
class Change:
    """A request that changes something, and another body for the same route."""

    method: str
    path: str
    body: Any
    other: Any


Prepare = Callable[[Scene, str], Change]

CHANGES: dict[str, Prepare] = {
    "create": lambda scene, _: Change(
        "POST", scene.caller.influencers, {"name": "Bea"}, {"name": "Cleo"}
    ),
    "draft": lambda scene, _: Change(
        "POST", f"{scene.caller.influencers}?draft=true", {"name": "Bea"}, {"name": "Cleo"}
    ),
    "patch": lambda scene, _: Change("PATCH", scene.path, {"vibe": "calm"}, {"vibe": "wild"}),
    "delete": lambda scene, _: Change("DELETE", scene.path, None, {"reason": "x"}),
    "clone": lambda scene, _: Change(
        "POST", f"{scene.path}/clone", {"name": "Bea"}, {"name": "Cleo"}
    ),
    "render": lambda scene, _: Change("POST", f"{scene.path}/render", None, None),
    "link": lambda scene, asset: Change(
        "POST", scene.images_path, {"assetIds": [asset]}, {"assetIds": [asset, asset]}
    ),
    "unlink": lambda scene, _: Change(
        "DELETE", f"{scene.images_path}/ast_{0:026d}", None, None
    ),
}  # fmt: skip
WITH_FIELDS = [name for name in CHANGES if name not in ("render", "unlink")]
OF_AN_INFLUENCER = [name for name in CHANGES if name not in ("create", "draft")]


@pytest.fixture
async def scene(caller: Caller, service: Service) -> Scene:
    return await Scene.ready(caller, service)


@pytest.fixture
async def asset(caller: Caller, service: Service) -> str:
    return await add_asset(caller, service)


def sent(at: Caller, change: Change, body: Any, **headers: str) -> Awaitable[Answer]:
    with_key = {"Idempotency-Key": KEY, **headers}
    return at.send(change.method, change.path, body, headers=with_key)


async def counted(scene: Scene) -> int:
    """Every event of the organization."""
    return int(
        await scene.service.pool.fetchval(
            "select count(*) from event_log.outbox where key like $1 || '/%'",
            scene.caller.organization_id,
        )
    )


def require_replay(again: Answer, first: Answer) -> None:
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    for header in ("Location", "Retry-After", "Cache-Control", "ETag", "Content-Type"):
        assert again.headers.get(header) == first.headers.get(header), header


@pytest.mark.parametrize("name", CHANGES)
async def test_the_same_request_again_is_answered_the_same_and_done_once(
    scene: Scene, asset: str, replica: Service, name: str
) -> None:
    change = CHANGES[name](scene, asset)
    first = await sent(scene.caller, change, change.body)
    assert first.status < 300, first
    assert "Idempotent-Replayed" not in first.headers
    events = await counted(scene)
    for at in (scene.caller, scene.caller.at(replica)):
        require_replay(await sent(at, change, change.body), first)
    assert await counted(scene) == events


@pytest.mark.parametrize("name", WITH_FIELDS)
async def test_a_different_body_is_a_conflict(scene: Scene, asset: str, name: str) -> None:
    change = CHANGES[name](scene, asset)
    assert (await sent(scene.caller, change, change.body)).status < 300
    events = await counted(scene)
    answer = await sent(scene.caller, change, change.other)
    assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert await counted(scene) == events


@pytest.mark.parametrize("name", OF_AN_INFLUENCER)
async def test_a_replay_outlives_its_influencer(scene: Scene, asset: str, name: str) -> None:
    change = CHANGES[name](scene, asset)
    first = await sent(scene.caller, change, change.body)
    await scene.caller.delete(scene.path)
    require_replay(await sent(scene.caller, change, change.body), first)
    without = await scene.caller.send(change.method, change.path, change.body)
    assert without.code == "NOT_FOUND"
    if change.other is not None:
        assert (await sent(scene.caller, change, change.other)).code == "IDEMPOTENCY_CONFLICT"
    for headers in ({"Idempotency-Key": "other"}, {"Idempotency-Key": "no key"}):
        answer = await sent(scene.caller, change, change.body, **headers)
        assert answer.code == "NOT_FOUND"
    assert (await sent(scene.caller, change, b"{")).code == "NOT_FOUND"


@pytest.mark.parametrize("name", ["patch", "delete"])
async def test_a_replay_needs_no_etag_of_now(scene: Scene, asset: str, name: str) -> None:
    change = CHANGES[name](scene, asset)
    etag = await scene.etag()
    first = await sent(scene.caller, change, change.body, **{"If-Match": etag})
    assert first.status == 200
    require_replay(await sent(scene.caller, change, change.body, **{"If-Match": etag}), first)


@pytest.mark.parametrize("name", OF_AN_INFLUENCER)
async def test_every_spelling_of_an_id_is_the_same_path(
    scene: Scene, asset: str, name: str
) -> None:
    change = CHANGES[name](scene, asset)
    first = await sent(scene.caller, change, change.body)
    bare = scene.influencer_id.removeprefix("inf_")
    path = change.path.replace(scene.influencer_id, bare.lower()).replace("ast_", "AST_")
    respelled = Change(change.method, path, change.body, None)
    require_replay(await sent(scene.caller, respelled, change.body), first)


async def test_a_refusal_is_not_kept(caller: Caller, service: Service) -> None:
    scene = await Scene.started(caller, service)
    change = CHANGES["render"](scene, "")
    assert (await sent(caller, change, None)).code == "CONFLICT"
    await scene.render(scene.job_id)
    assert (await sent(caller, change, None)).status == 202


async def test_an_answer_that_changed_nothing_is_kept(scene: Scene) -> None:
    change = Change("PATCH", scene.path, {"vibe": None}, None)
    first = await sent(scene.caller, change, change.body)
    await scene.caller.patch(scene.path, {"vibe": "calm"})
    require_replay(await sent(scene.caller, change, change.body), first)
    assert (await scene.record())["vibe"] == "calm"
