"""Pages: newest first, complete, stable while rows are added, and their cursors unforgeable."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.core.controlplane import create_project
from services.core.domain.commands import DeleteInfluencer, StartTraining
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import Service


async def pages(
    caller: Caller, path: str, limit: int, of: str = ""
) -> AsyncIterator[list[dict[str, Any]]]:
    """`of` is the filter in the query."""
    asked = f"?{of}&limit={limit}" if of else f"?limit={limit}"
    query = asked
    while True:
        answer = await caller.get(path + query)
        assert answer.status == 200, answer
        assert answer.json.keys() == {"items", "nextCursor"}
        yield answer.json["items"]
        if answer.json["nextCursor"] is None:
            return
        query = f"{asked}&cursor={answer.json['nextCursor']}"


async def test_an_item_is_slim(caller: Caller) -> None:
    created = await caller.create(name="Ava", gender="female", ageRange="25-34", vibe="warm")
    record = (await caller.get(f"/v1/influencers/{created['influencerId']}")).json
    answer = await caller.get(caller.influencers)
    assert answer.json == {
        "items": [
            {
                "influencerId": created["influencerId"],
                "name": "Ava",
                "gender": "female",
                "ageRange": "25-34",
                "status": "pending",
                "thumbnailUrl": None,
                "createdAt": record["createdAt"],
            }
        ],
        "nextCursor": None,
    }
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "X-Api-Key, Authorization"


async def test_an_empty_list_is_a_page(caller: Caller) -> None:
    answer = await caller.get(caller.influencers)
    assert answer.json == {"items": [], "nextCursor": None}


async def test_pages_hold_every_item_once_newest_first(caller: Caller) -> None:
    created = [await caller.create(name=f"No {number}") for number in range(12)]
    for limit in (1, 5, 6, 12, 100):
        shown = [item async for page in pages(caller, caller.influencers, limit) for item in page]
        assert len(shown) == 12
        newest_first = sorted(
            shown, key=lambda item: (item["createdAt"], item["influencerId"]), reverse=True
        )
        assert shown == newest_first
        assert {item["influencerId"] for item in shown} == {c["influencerId"] for c in created}


async def test_pages_stay_stable_while_rows_are_added(caller: Caller) -> None:
    before = {(await caller.create())["influencerId"] for _ in range(6)}
    seen: list[str] = []
    async for page in pages(caller, caller.influencers, 2):
        seen += [item["influencerId"] for item in page]
        await caller.create(name="late")
    assert len(seen) == len(set(seen))
    assert set(seen) == before


async def test_a_page_goes_on_after_a_row_that_is_gone(caller: Caller, service: Service) -> None:
    for _ in range(4):
        await caller.create()
    first = (await caller.get(f"{caller.influencers}?limit=2")).json
    last = first["items"][-1]["influencerId"]
    await service.append(DeleteInfluencer(caller.organization_id, last, requested_by="key_x"))
    rest = await caller.get(f"{caller.influencers}?cursor={first['nextCursor']}")
    assert len(rest.json["items"]) == 2


async def test_the_default_limit_is_25(caller: Caller) -> None:
    for _ in range(26):
        await caller.create()
    answer = await caller.get(caller.influencers)
    assert len(answer.json["items"]) == 25
    assert answer.json["nextCursor"]


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "1.0", "", "ten", "1e1", "%20", "%D9%A3", "9" * 50]
)
async def test_a_limit_is_1_to_100(caller: Caller, limit: str) -> None:
    for path in (caller.influencers, "/v1/projects"):
        answer = await caller.get(f"{path}?limit={limit}")
        assert list(answer.field_errors) == ["limit"]


async def test_a_cursor_is_for_its_own_list_and_filter_only(caller: Caller, new: NewCaller) -> None:
    sister = await new(organization_id=caller.organization_id)
    for at in (caller, caller, sister, sister):
        await at.create()
    page = (await caller.get(f"{caller.influencers}?limit=1")).json
    cursor = page["nextCursor"]
    for path in (
        f"{sister.influencers}?cursor={cursor}",
        f"{caller.influencers}?status=pending&cursor={cursor}",
        f"/v1/projects?cursor={cursor}",
    ):
        answer = await caller.get(path)
        assert list(answer.field_errors) == ["cursor"]
    assert (await caller.get(f"{caller.influencers}?limit=7&cursor={cursor}")).status == 200


async def test_a_tampered_cursor_is_validation(caller: Caller) -> None:
    await caller.create()
    await caller.create()
    cursor: str = (await caller.get(f"{caller.influencers}?limit=1")).json["nextCursor"]
    middle = len(cursor) // 2
    changed = "A" if cursor[middle] != "A" else "B"
    forged = urlsafe_b64encode(b'["2026-01-01T00:00:00+00:00","inf_x"]').decode()
    for wrong in (
        "",
        "x",
        forged,
        cursor[:-1],
        cursor + "A",
        cursor + "=",
        cursor + "!",
        cursor[::-1],
        cursor.swapcase(),
        cursor[:middle] + changed + cursor[middle + 1 :],
        "%00",
        "%F0%9F%92%83",
        "A" * 5000,
    ):
        answer = await caller.get(f"{caller.influencers}?cursor={wrong}")
        assert list(answer.field_errors) == ["cursor"], wrong


async def test_all_faults_of_a_query_are_told_at_once(caller: Caller) -> None:
    answer = await caller.get(f"{caller.influencers}?limit=0&cursor=x&status=lost")
    assert set(answer.field_errors) == {"limit", "cursor", "status"}
    assert answer.json["error"]["message"] == "Invalid query."


async def test_a_list_may_be_of_one_status(caller: Caller, service: Service) -> None:
    pending, training = await caller.create(), await caller.create()
    stream = (caller.organization_id, training["influencerId"], training["jobId"])
    await service.append(StartTraining(*stream, backend="drawing"))
    for status, wanted in {"pending": pending, "training": training, "ready": None}.items():
        items = (await caller.get(f"{caller.influencers}?status={status}")).json["items"]
        found = [item["influencerId"] for item in items]
        assert found == ([wanted["influencerId"]] if wanted else [])
    for wrong in ("", "PENDING", "deleted", "pending,ready"):
        answer = await caller.get(f"{caller.influencers}?status={wrong}")
        assert list(answer.field_errors) == ["status"]


async def test_projects_are_the_organizations_own_newest_first(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    await new()
    async with service.pool.acquire() as connection:
        for number in range(4):
            await create_project(connection, caller.organization_id, f"No {number}")  # type: ignore[arg-type]
    shown = [item async for page in pages(caller, "/v1/projects", 2) for item in page]
    assert [project["name"] for project in shown] == ["No 3", "No 2", "No 1", "No 0", "Project"]
    oldest = shown[-1]
    assert oldest == {
        "projectId": caller.project_id,
        "organizationId": caller.organization_id,
        "name": "Project",
        "createdAt": oldest["createdAt"],
    }
    one = await caller.get(f"/v1/projects/{caller.project_id.upper()}")
    assert one.json == oldest
    assert one.headers["Cache-Control"] == "private, no-cache"
