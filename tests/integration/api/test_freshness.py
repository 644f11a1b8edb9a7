"""`?minSequence=N` on a record: it is waited for, and not for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.core.domain.commands import StartTraining, UpdateInfluencer
from tests.integration.api.calling import Caller
from tests.integration.api.serving import Service, serving


@pytest.fixture
async def hasty(shared_database_url: str) -> AsyncIterator[Service]:
    async with serving(shared_database_url, hold_timeout=0.2) as running:
        yield running


async def asked_for_content(caller: Caller) -> str:
    """The path of the job."""
    influencer_id = (await caller.create())["influencerId"]
    body = {"influencerId": influencer_id, "brief": "Sale!"}
    answer = await caller.post(f"/v1/projects/{caller.project_id}/content", body)
    return f"/v1/jobs/{answer.json['jobId']}"


async def paths_of_new(caller: Caller) -> tuple[dict[str, str], list[str]]:
    created = await caller.create()
    return created, [f"/v1/influencers/{created['influencerId']}", f"/v1/jobs/{created['jobId']}"]


async def test_a_read_is_held_until_the_record_has_reached_the_sequence(
    caller: Caller, service: Service
) -> None:
    created, paths = await paths_of_new(caller)
    for path in paths:
        assert (await caller.get(f"{path}?minSequence=1")).json["sequence"] == 1
    held = [asyncio.create_task(caller.get(f"{path}?minSequence=2")) for path in paths]
    await asyncio.wait(held, timeout=0.1)
    assert not any(read.done() for read in held)
    stream = (caller.organization_id, created["influencerId"], created["jobId"])
    await service.append(StartTraining(*stream, backend="drawing"))
    for answer in await asyncio.gather(*held):
        assert (answer.status, answer.json["sequence"]) == (200, 2)


async def test_a_job_is_as_new_as_its_stream_also_when_the_last_event_left_it_alone(
    caller: Caller, service: Service
) -> None:
    created, (_, path) = await paths_of_new(caller)
    held = asyncio.create_task(caller.get(f"{path}?minSequence=2"))
    await asyncio.wait([held], timeout=0.1)
    assert not held.done()
    stream = (caller.organization_id, created["influencerId"])
    await service.append(UpdateInfluencer(*stream, changes={"vibe": "calm"}))
    for answer in (await held, await caller.get(f"{path}?minSequence=2")):
        assert (answer.status, answer.json["sequence"]) == (200, 1)


async def test_a_content_job_is_held_until_its_own_stream_has_reached_the_sequence(
    caller: Caller, service: Service
) -> None:
    path = await asked_for_content(caller)
    held = asyncio.create_task(caller.get(f"{path}?minSequence=2"))
    await asyncio.wait([held], timeout=0.1)
    assert not held.done()
    assert (await caller.post(f"{path}/cancel")).status == 202
    answer = await held
    assert (answer.status, answer.json["sequence"]) == (200, 2)


async def test_what_arrives_right_at_the_time_out_is_there(
    caller: Caller, hasty: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is woken any more, but the look at the end finds it."""

    async def never(*_: Any) -> None:
        waits.set()
        await asyncio.Event().wait()

    waits = asyncio.Event()
    monkeypatch.setattr(hasty.changes, "beyond", never)
    path = await asked_for_content(caller)
    held = asyncio.create_task(caller.at(hasty).get(f"{path}?minSequence=2"))
    await waits.wait()
    assert (await caller.post(f"{path}/cancel")).status == 202
    answer = await held
    assert (answer.status, answer.json["sequence"]) == (200, 2)


async def test_what_does_not_come_in_time_is_unavailable(caller: Caller, hasty: Service) -> None:
    _, paths = await paths_of_new(caller)
    content = await asked_for_content(caller)
    for path in [*paths, content]:
        answer = await caller.at(hasty).get(f"{path}?minSequence=2")
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert answer.details == {"sequence": 1}
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("wrong", ["", "-1", "1.5", "one", "9" * 30, "%D9%A3"])
async def test_a_sequence_is_a_whole_number(caller: Caller, wrong: str) -> None:
    _, paths = await paths_of_new(caller)
    for path in paths:
        answer = await caller.get(f"{path}?minSequence={wrong}")
        assert list(answer.field_errors) == ["minSequence"]


async def test_nobody_waits_for_what_is_not_there(caller: Caller) -> None:
    path = "/v1/influencers/018f3c9a-0000-7000-8000-000000000001?minSequence=x"
    assert (await caller.get(path)).code == "NOT_FOUND"
