"""API1: what a query or a body names is looked up in the caller's organization alone.

What a path names is in the matrix of routes and organizations (`test_route_matrix.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.ids import Prefix
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import finalize, presign
from tests.integration.api.scenes import IDS
from tests.integration.api.serving import Service
from tests.integration.api.test_route_matrix import Things
from tests.security.timing import same_time

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def theirs(new: NewCaller, service: Service) -> Things:
    return await Things.of(await new(), service)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/jobs?projectId={}", "projectId"),
        ("/v1/jobs?influencerId={}", "influencerId"),
    ],
)
async def test_a_filter_finds_nothing_of_anothers(
    caller: Caller, theirs: Things, path: str, name: str
) -> None:
    foreign = await caller.get(path.format(theirs.ids[name]))
    assert (foreign.status, foreign.json["items"]) == (200, [])
    assert (await theirs.caller.get(path.format(theirs.ids[name]))).json["items"]


async def test_a_body_can_not_name_what_is_anothers(caller: Caller, theirs: Things) -> None:
    """What is another's is refused as what is nobody's: same status, same words."""
    mine = await caller.create()
    influencer = f"/v1/influencers/{mine['influencerId']}"
    project = f"/v1/projects/{caller.project_id}"
    bodies: list[tuple[str, Callable[[str], Any], str, Prefix]] = [
        (f"{project}/content", lambda i: {"influencerId": i, "brief": "x"}, "influencerId",
         Prefix.INFLUENCER),
        (f"{project}/influencers", lambda i: {"name": "A", "referenceImages": {"assetIds": [i]}},
         "assetId", Prefix.ASSET),
        (f"{influencer}/reference-images", lambda i: {"assetIds": [i]}, "assetId", Prefix.ASSET),
    ]  # fmt: skip
    for path, body, name, prefix in bodies:
        foreign = await caller.post(path, body(theirs.ids[name]))
        unknown = await caller.post(path, body(IDS.new(prefix)))
        assert comparable(foreign) == comparable(unknown), path
        assert theirs.ids[name] not in foreign.body.decode(), path


async def test_an_upload_of_anothers_can_not_be_finalized(caller: Caller, theirs: Things) -> None:
    upload = await presign(theirs.caller)
    foreign = await finalize(caller, upload["uploadId"])
    unknown = await finalize(caller, IDS.new(Prefix.UPLOAD))
    assert comparable(foreign) == comparable(unknown)


async def test_an_id_of_anothers_is_free_and_stays_apart(caller: Caller, theirs: Things) -> None:
    taken = theirs.ids["influencerId"]
    assert (await caller.create(influencerId=taken, name="Mine"))["influencerId"] == taken
    path = f"/v1/influencers/{taken}"
    assert (await caller.delete(path)).status == 200
    assert (await theirs.caller.get(path)).json["name"] != "Mine"


async def test_what_is_anothers_takes_as_long_as_what_is_not_there(
    caller: Caller, theirs: Things
) -> None:
    def asking(path: str) -> Callable[[], Awaitable[Any]]:
        return lambda: caller.get(path)

    foreign = asking(f"/v1/influencers/{theirs.ids['influencerId']}")
    unknown = asking(f"/v1/influencers/{IDS.new(Prefix.INFLUENCER)}")
    await same_time(foreign, unknown)


async def test_the_comparison_of_times_tells_half_a_millisecond() -> None:
    """The tests of times above and in `test_keys.py` are worth something."""

    async def slower() -> None:
        await asyncio.sleep(0.0015)

    async def faster() -> None:
        await asyncio.sleep(0.0010)

    with pytest.raises(AssertionError):
        await same_time(slower, faster)


def comparable(answer: Answer) -> Any:
    """Status and body, without the ids that are made anew in each answer."""
    body = answer.json
    if answer.status < 400:
        return answer.status, sorted(body), body.get("referenceImages")
    return answer.status, {**body["error"], "requestId": None}
