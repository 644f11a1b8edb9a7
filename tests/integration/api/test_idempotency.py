"""`Idempotency-Key`: the same request twice is done once, and answered the same."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from multidict import CIMultiDict

from services.api.asset_recording import LOCK_CONTENT
from services.core.domain.commands import CancelJob
from services.core.postgres import Pool
from tests.integration.api.calling import Answer, Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.pictures import inline, media_of, picture
from tests.integration.api.serving import Service

KEY = "6f1c0e0a-order-17"
BODY = {"name": "Ava", "gender": "female", "personality": {"tone": "dry", "humor": "none"}}


async def create(caller: Caller, body: object = None, key: str = KEY) -> Answer:
    return await caller.post(caller.influencers, body or BODY, Idempotency_Key=key)


async def jobs_and_events(caller: Caller, pool: Pool) -> tuple[int, int]:
    jobs = await pool.fetchval(
        "select count(*) from read_model.jobs where organization_id = $1", caller.organization_id
    )
    events = await pool.fetchval(
        "select count(*) from event_log.outbox where key like $1 || '/%'", caller.organization_id
    )
    return jobs, events


async def test_the_same_request_gets_the_first_response_byte_for_byte(
    caller: Caller, service: Service, replica: Service
) -> None:
    first = await create(caller)
    rewritten = (
        b' { "personality" : {"humor":"none", "tone": "\\u0064ry"},\n'
        b' "gender": "female", "name": "Ava"} '
    )
    for at in (caller, caller.at(replica)):
        for body in (BODY, rewritten):
            again = await create(at, body)
            assert (again.status, again.body) == (first.status, first.body)
            assert again.headers["Idempotent-Replayed"] == "true"
            for header in ("Location", "Retry-After", "Cache-Control", "Content-Type"):
                assert again.headers[header] == first.headers[header]
            assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert "Idempotent-Replayed" not in first.headers
    assert await jobs_and_events(caller, service.pool) == (1, 1)


async def test_a_different_body_is_a_conflict(caller: Caller, service: Service) -> None:
    await create(caller)
    for different in ({**BODY, "name": "Bea"}, {"name": "Ava"}, {**BODY, "gender": None}):
        answer = await create(caller, different)
        assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert await jobs_and_events(caller, service.pool) == (1, 1)


async def test_twenty_at_once_over_two_replicas_make_one_job_and_get_one_answer(
    caller: Caller, service: Service, replica: Service
) -> None:
    elsewhere = caller.at(replica)
    answers = await asyncio.gather(*(create(at) for at in [caller, elsewhere] * 10))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body for answer in answers}) == 1
    replayed = [a for a in answers if a.headers.get("Idempotent-Replayed") == "true"]
    assert len(replayed) == 19
    assert await jobs_and_events(caller, service.pool) == (1, 1)


async def test_twenty_at_once_with_two_bodies_never_do_both(
    caller: Caller, service: Service, replica: Service
) -> None:
    elsewhere, other = caller.at(replica), {**BODY, "name": "Bea"}
    answers = await asyncio.gather(
        *(create(caller) for _ in range(10)), *(create(elsewhere, other) for _ in range(10))
    )
    assert {(answer.status, answer.code) for answer in answers} == {
        (202, None),
        (409, "IDEMPOTENCY_CONFLICT"),
    }
    assert await jobs_and_events(caller, service.pool) == (1, 1)


async def test_a_key_in_use_for_too_long_is_a_conflict_to_be_tried_again(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.eventlog.group_commit.CLAIM_LOCK_TIMEOUT", 0.3)
    async with service.pool.acquire() as hanging:
        transaction = hanging.transaction()
        await transaction.start()
        await hang(hanging, caller, caller.influencers)
        answer = await create(caller)
        await transaction.rollback()
    assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert answer.headers["Retry-After"] == "1"
    assert (await create(caller)).status == 202


async def test_a_key_is_free_again_after_an_error(caller: Caller, new: NewCaller) -> None:
    taken = (await caller.create())["influencerId"]
    assert (await create(caller, {"name": ""})).status == 422
    assert (await create(caller, b"{")).status == 422
    assert (await create(caller, {"name": "Ava", "influencerId": taken})).code == "CONFLICT"
    assert (await create(caller)).status == 202


async def test_a_key_belongs_to_its_organization(caller: Caller, new: NewCaller) -> None:
    other = await new()
    colleague = await new(organization_id=caller.organization_id, project_id=caller.project_id)
    first = await create(caller)
    assert (await create(colleague)).body == first.body
    theirs = await create(other)
    assert theirs.status == 202
    assert theirs.json["jobId"] != first.json["jobId"]


async def test_a_key_belongs_to_its_method_and_path(caller: Caller, new: NewCaller) -> None:
    sister = await new(organization_id=caller.organization_id)
    first, second = await create(caller), await create(sister)
    assert first.json["jobId"] != second.json["jobId"]
    canceled = await caller.post(f"/v1/jobs/{first.json['jobId']}/cancel", Idempotency_Key=KEY)
    assert canceled.json == {"jobId": first.json["jobId"], "accepted": True}


async def test_a_path_is_the_same_in_every_spelling(caller: Caller) -> None:
    job_id = (await caller.create())["jobId"]
    first = await caller.post(f"/v1/jobs/{job_id}/cancel", Idempotency_Key=KEY)
    again = await caller.post(f"/v1/jobs/{job_id.lower()[4:]}/cancel", Idempotency_Key=KEY)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.body == first.body
    path = f"/v1/projects/{caller.project_id}/influencers"
    created = await caller.post(path, BODY, Idempotency_Key=KEY)
    upper = f"/v1/projects/{caller.project_id.upper()}/influencers"
    assert (await caller.post(upper, BODY, Idempotency_Key=KEY)).body == created.body


async def test_a_quoted_key_means_what_is_between_the_quotes(caller: Caller) -> None:
    first = await create(caller, key='a"b\\c')
    again = await create(caller, key='"a\\"b\\\\c"')
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["x", "~", "!" * 255, f'"{"x" * 255}"', '"'])
async def test_1_to_255_visible_characters_are_a_key(caller: Caller, key: str) -> None:
    assert (await create(caller, key=key)).status == 202
    assert (await create(caller, key=key)).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a b", '"a b"', "é", "a\tb", "💃"])
async def test_anything_else_is_validation(caller: Caller, service: Service, key: str) -> None:
    answer = await create(caller, key=key)
    assert list(answer.field_errors) == ["Idempotency-Key"]
    job_id = (await caller.create())["jobId"]
    answer = await caller.post(f"/v1/jobs/{job_id}/cancel", Idempotency_Key=key)
    assert list(answer.field_errors) == ["Idempotency-Key"]
    assert await jobs_and_events(caller, service.pool) == (1, 1)


async def test_two_keys_are_none(caller: Caller) -> None:
    headers = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    answer = await caller.send("POST", caller.influencers, BODY, headers=headers)
    assert list(answer.field_errors) == ["Idempotency-Key"]


async def test_a_cancel_is_idempotent_too(caller: Caller, service: Service) -> None:
    created = await caller.create()
    path = f"/v1/jobs/{created['jobId']}/cancel"
    answers = await asyncio.gather(*(caller.post(path, Idempotency_Key=KEY) for _ in range(10)))
    assert {(answer.status, answer.body) for answer in answers} == {
        (202, b'{"jobId":"%s","accepted":true}' % created["jobId"].encode())
    }
    assert await jobs_and_events(caller, service.pool) == (1, 2)
    explicit = await caller.post(path, {}, Idempotency_Key=KEY)
    assert explicit.headers["Idempotent-Replayed"] == "true"


async def test_an_answer_that_changed_nothing_is_kept_as_well(
    caller: Caller, service: Service
) -> None:
    created = await caller.create()
    stream = (caller.organization_id, created["influencerId"])
    await service.append(CancelJob(*stream, created["jobId"], requested_by="key_x"))
    path = f"/v1/jobs/{created['jobId']}/cancel"
    first = await caller.post(path, Idempotency_Key=KEY)
    again = await caller.post(path, Idempotency_Key=KEY)
    assert first.json["reason"] == "ALREADY_CANCELED"
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_key_is_kept_for_24_hours(caller: Caller, service: Service) -> None:
    first = await create(caller)
    aging = (
        "update event_log.idempotency_keys set created_at = now() - $2::interval"
        " where organization_id = $1"
    )
    await service.pool.execute(aging, caller.organization_id, timedelta(hours=23, minutes=59))
    assert (await create(caller)).body == first.body
    await service.pool.execute(aging, caller.organization_id, timedelta(hours=24, seconds=1))
    assert (await create(caller)).json["jobId"] != first.json["jobId"]


async def test_a_stream_body_is_compared_like_any_other(caller: Caller) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"na'
        yield b'me": "Ava"}'

    first = await create(caller, chunks())
    assert (await create(caller, {"name": "Ava"})).body == first.body


async def hang(hanging: Any, caller: Caller, path: str) -> None:
    """Uses the key in a transaction that does not end."""
    await hanging.execute(
        "insert into event_log.idempotency_keys (organization_id, scope, idempotency_key,"
        " request_hash, status, headers, body) values ($1, $2, $3, $4, 202, '{}', '')",
        caller.organization_id,
        f"POST {path}",
        KEY,
        bytes(32),
    )


async def test_an_announcement_whose_key_is_in_use_is_a_conflict_too(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.eventlog.idempotency_keys.CLAIM_LOCK_TIMEOUT", 0.3)
    path, body = f"{media_of(caller)}/presign", {"kind": "image", "mimeType": "image/png"}
    async with service.pool.acquire() as hanging:
        transaction = hanging.transaction()
        await transaction.start()
        await hang(hanging, caller, path)
        answer = await caller.post(path, body, Idempotency_Key=KEY)
        await transaction.rollback()
    assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert answer.headers["Retry-After"] == "1"
    assert (await caller.post(path, body, Idempotency_Key=KEY)).status == 201


async def test_an_upload_waits_for_the_same_bytes_as_long_as_its_key_may(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.eventlog.idempotency_keys.CLAIM_LOCK_TIMEOUT", 0.3)
    content = picture("navy")
    name = f"media/{caller.organization_id}/{caller.project_id}/{sha256(content).hexdigest()}"
    path, body = media_of(caller), inline(content)
    async with service.pool.acquire() as hanging:
        transaction = hanging.transaction()
        await transaction.start()
        await hanging.execute(LOCK_CONTENT, name)
        answer = await caller.post(path, body, Idempotency_Key=KEY)
        without_a_key = await caller.post(path, body)
        await transaction.rollback()
    assert (answer.status, answer.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert answer.headers["Retry-After"] == "1"
    assert (without_a_key.status, without_a_key.code) == (503, "UNAVAILABLE")
    assert (await caller.post(path, body, Idempotency_Key=KEY)).status == 201
