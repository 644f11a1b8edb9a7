"""The append over real Postgres: one history per stream, one outcome per command."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial

import asyncpg
import orjson
import pytest

from schemas.events import Event
from schemas.jobs import JobError
from schemas.profile import Profile
from services.core.domain.commands import (
    CancelJob,
    CreateInfluencer,
    FailJob,
    RenderInfluencer,
    StartTraining,
)
from services.core.domain.errors import InfluencerAlreadyExists, InfluencerNotFound, JobEnded
from services.core.domain.state import InfluencerStream
from services.core.errors import DependencyUnavailable
from services.core.eventlog.append import find_stream
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import (
    Appended,
    AppendQueueFull,
    IdempotencyClaim,
    IdempotencyKeyBusy,
    IdempotencyKeyReused,
    Replayed,
    StoredResponse,
)
from services.core.postgres import Pool
from tests.integration.eventlog.conftest import Tenant, requested, started_group_commit


def respond(state: InfluencerStream, _: tuple[Event, ...]) -> StoredResponse:
    assert state.influencer
    body = orjson.dumps({"influencerId": state.influencer.influencer_id})
    return StoredResponse(202, {"Location": "/v1/jobs/x"}, body)


def claim(tenant: Tenant, key: str = "key-1", digest: bytes = b"\x01" * 32) -> IdempotencyClaim:
    return IdempotencyClaim(tenant.organization_id, "POST /v1/x", key, digest)


async def outbox_of(pool: Pool, influencer_id: str) -> list[asyncpg.Record]:
    return await pool.fetch(
        "select headers, value from event_log.outbox where key like '%/' || $1 order by outbox_id",
        influencer_id,
    )


async def test_a_create_writes_stream_outbox_and_the_rows_a_client_sees_at_once(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    command = tenant.create()
    outcome = await group_commit.append(requested(command))
    assert isinstance(outcome, Appended)
    assert outcome.state.sequence == 1

    [row] = await outbox_of(pool, command.influencer_id)
    headers = orjson.loads(row["headers"])
    assert headers["ce_type"] == "InfluencerCreateRequested"
    assert headers["ce_sequence"] == "1"
    assert headers["ce_correlationid"] == command.job_id
    assert orjson.loads(row["value"])["profile"] == {"name": "Ava"}
    influencer = await pool.fetchrow("select * from read_model.influencers")
    assert influencer is not None
    assert (influencer["status"], influencer["sequence"]) == ("pending", 1)
    job = await pool.fetchrow("select * from read_model.jobs")
    assert job is not None
    assert (job["job_id"], job["status"], job["sequence"]) == (command.job_id, "running", 1)
    async with pool.acquire() as connection:
        stream = await find_stream(connection, tenant.organization_id, command.influencer_id)  # type: ignore[arg-type]
    assert stream == outcome.state


async def test_commands_that_arrive_together_share_transactions_and_keep_their_own_outcomes(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    taken = tenant.create()
    await group_commit.append(requested(taken))
    commands = [tenant.create(name=f"No {number}") for number in range(50)]
    commands.insert(20, tenant.create(influencer_id=taken.influencer_id))
    before = await _transactions(pool)
    outcomes = await asyncio.gather(
        *(group_commit.append(requested(command)) for command in commands),
        return_exceptions=True,
    )
    used = await _transactions(pool) - before

    refused = outcomes.pop(20)
    assert isinstance(refused, InfluencerAlreadyExists)
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert await pool.fetchval("select count(*) from event_log.streams") == 51
    assert used < 25


async def _transactions(pool: Pool) -> int:
    return int(await pool.fetchval("select pg_current_xact_id()::text::bigint"))


async def test_writers_of_one_stream_make_one_gap_free_history(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    other_process = await started_group_commit(pool)
    command = tenant.create()
    await group_commit.append(requested(command))
    start = StartTraining(tenant.organization_id, command.influencer_id, command.job_id, "drawing")
    both = [group_commit, other_process] * 20
    await asyncio.gather(*(writer.append(requested(start)) for writer in both))
    await other_process.stop()

    rows = await outbox_of(pool, command.influencer_id)
    headers = [orjson.loads(row["headers"]) for row in rows]
    assert [int(header["ce_sequence"]) for header in headers] == list(range(1, 42))
    attempts = [orjson.loads(row["value"])["attempt"] for row in rows[1:]]
    assert attempts == list(range(1, 41))


async def test_one_id_asked_for_many_times_at_once_is_made_once(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    other_process = await started_group_commit(pool)
    wanted = tenant.create().influencer_id
    outcomes = await asyncio.gather(
        *(
            writer.append(requested(tenant.create(influencer_id=wanted)))
            for writer in [group_commit, other_process] * 10
        ),
        return_exceptions=True,
    )
    await other_process.stop()
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == {Appended: 1, InfluencerAlreadyExists: 19}
    assert await pool.fetchval("select count(*) from event_log.outbox") == 1
    assert await pool.fetchval("select count(*) from read_model.jobs") == 1


async def test_the_same_id_in_another_organization_is_another_influencer(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    other = Tenant("018f3c9a-0000-7000-8000-000000000001", tenant.project_id)
    command = tenant.create()
    await group_commit.append(requested(command))
    outcome = await group_commit.append(requested(other.create(command.influencer_id)))
    assert isinstance(outcome, Appended)


@pytest.mark.parametrize("is_fresh", [True, False])
async def test_a_used_idempotency_key_replays_the_first_response(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant, is_fresh: bool
) -> None:
    request = partial(requested, claim=claim(tenant), respond=respond, is_fresh=is_fresh)
    first = await group_commit.append(request(tenant.create()))
    again = await group_commit.append(request(tenant.create()))
    assert isinstance(first, Appended)
    assert isinstance(again, Replayed)
    assert again.response == first.response
    assert await pool.fetchval("select count(*) from event_log.streams") == 1
    with pytest.raises(IdempotencyKeyReused):
        await group_commit.append(
            requested(tenant.create(), claim(tenant, digest=b"\x02" * 32), respond)
        )


@pytest.mark.parametrize("is_fresh", [True, False])
async def test_one_key_sent_many_times_at_once_does_the_thing_once(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant, is_fresh: bool
) -> None:
    other_process = await started_group_commit(pool)
    outcomes = await asyncio.gather(
        *(
            writer.append(requested(tenant.create(), claim(tenant), respond, is_fresh=is_fresh))
            for writer in [group_commit, other_process] * 10
        )
    )
    await other_process.stop()
    assert Counter(type(outcome) for outcome in outcomes) == {Appended: 1, Replayed: 19}
    assert len({outcome.response.body for outcome in outcomes if outcome.response}) == 1
    assert await pool.fetchval("select count(*) from event_log.outbox") == 1


async def test_a_key_is_free_again_after_a_refusal(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    taken = tenant.create()
    await group_commit.append(requested(taken))
    with pytest.raises(InfluencerAlreadyExists):
        await group_commit.append(
            requested(tenant.create(taken.influencer_id), claim(tenant), respond)
        )
    outcome = await group_commit.append(
        requested(tenant.create(), claim(tenant, digest=b"\x02" * 32), respond)
    )
    assert isinstance(outcome, Appended)


async def test_a_key_older_than_a_day_is_forgotten(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    await group_commit.append(requested(tenant.create(), claim(tenant), respond))
    await pool.execute(
        "update event_log.idempotency_keys set created_at = now() - interval '25 hours'"
    )
    outcome = await group_commit.append(
        requested(tenant.create(), claim(tenant, digest=b"\x02" * 32), respond)
    )
    assert isinstance(outcome, Appended)
    replay = await group_commit.append(
        requested(tenant.create(), claim(tenant, digest=b"\x02" * 32), respond)
    )
    assert isinstance(replay, Replayed)


async def test_a_key_whose_first_request_hangs_is_busy_and_its_neighbours_go_on(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.eventlog.group_commit.CLAIM_LOCK_TIMEOUT", 0.5)
    async with pool.acquire() as hanging, hanging.transaction():
        await hanging.execute(
            "insert into event_log.idempotency_keys (organization_id, scope, idempotency_key,"
            " request_hash, status, headers, body) values ($1, $2, $3, $4, 202, '{}', '')",
            tenant.organization_id,
            claim(tenant).scope,
            claim(tenant).key,
            claim(tenant).request_hash,
        )
        blocked = asyncio.create_task(
            group_commit.append(requested(tenant.create(), claim(tenant), respond))
        )
        neighbours = [group_commit.append(requested(tenant.create())) for _ in range(10)]
        assert all(isinstance(o, Appended) for o in await asyncio.gather(*neighbours))
        with pytest.raises(IdempotencyKeyBusy):
            await blocked


async def test_many_who_wait_for_their_keys_hold_up_no_writer_and_all_end_in_time(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.eventlog.group_commit.CLAIM_LOCK_TIMEOUT", 3.0)
    claims = [replace(claim(tenant), key=f"busy-{number}") for number in range(5)]
    loop = asyncio.get_running_loop()
    async with pool.acquire() as hanging, hanging.transaction():
        await hanging.executemany(
            "insert into event_log.idempotency_keys (organization_id, scope, idempotency_key,"
            " request_hash, status, headers, body) values ($1, $2, $3, $4, 202, '{}', '')",
            [(c.organization_id, c.scope, c.key, c.request_hash) for c in claims],
        )
        started = loop.time()
        blocked = [
            asyncio.create_task(
                group_commit.append(requested(tenant.create(), c, respond, is_fresh=True))
            )
            for c in claims
        ]
        done = await group_commit.append(requested(tenant.create()))
        assert isinstance(done, Appended)
        while not any(task.done() for task in blocked):
            before = loop.time()
            await group_commit.append(requested(tenant.create()))
            assert loop.time() - before < 2.9, "it waited for a key that is not its own"
        refused = await asyncio.gather(*blocked, return_exceptions=True)
        assert {type(one) for one in refused} == {IdempotencyKeyBusy}
        assert loop.time() - started < 5.0


async def test_a_command_that_postgres_refuses_leaves_its_neighbours_alone(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    unstorable = CreateInfluencer(
        tenant.organization_id,
        tenant.create().influencer_id,
        tenant.project_id,
        tenant.create().job_id,
        Profile(name="a\x00b"),
    )
    commands = [tenant.create(), unstorable, tenant.create()]
    outcomes = await asyncio.gather(
        *(group_commit.append(requested(command)) for command in commands),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], Appended)
    assert isinstance(outcomes[1], asyncpg.PostgresError)
    assert isinstance(outcomes[2], Appended)
    assert await pool.fetchval("select count(*) from event_log.streams") == 2


async def test_a_cancel_is_final(pool: Pool, group_commit: GroupCommit, tenant: Tenant) -> None:
    command = tenant.create()
    await group_commit.append(requested(command))
    stream = (tenant.organization_id, command.influencer_id, command.job_id)
    await group_commit.append(requested(CancelJob(*stream, requested_by="key_x")))
    with pytest.raises(JobEnded):
        await group_commit.append(requested(StartTraining(*stream, backend="drawing")))


async def test_nothing_is_done_for_an_influencer_that_is_not_there(
    group_commit: GroupCommit, tenant: Tenant
) -> None:
    with pytest.raises((InfluencerNotFound, JobEnded)):
        await group_commit.append(
            requested(CancelJob(tenant.organization_id, "inf_x", "job_x", "key_x"))
        )


async def test_no_more_commands_wait_than_may(pool: Pool, tenant: Tenant) -> None:
    from schemas.ids import UlidSource
    from services.core.clock import system_clock

    idle = GroupCommit(
        pool, clock=system_clock, ids=UlidSource(), write_read_models=True, max_waiting=2
    )
    waiting = [asyncio.create_task(idle.append(requested(tenant.create()))) for _ in range(2)]
    await asyncio.wait(waiting, timeout=0)
    with pytest.raises(AppendQueueFull):
        await idle.append(requested(tenant.create()))
    await idle.start()
    await asyncio.gather(*waiting)
    await idle.stop()


async def test_a_commit_cut_off_is_unavailable_and_the_next_one_works(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant, database_url: str
) -> None:
    await group_commit.append(requested(tenant.create()))
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "create function cut() returns trigger language plpgsql as"
        " $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$"
    )
    await admin.execute(
        "create trigger cut before insert on event_log.outbox for each row execute function cut()"
    )
    with pytest.raises(DependencyUnavailable):
        await group_commit.append(requested(tenant.create()))
    await admin.execute("drop trigger cut on event_log.outbox")
    await admin.close()
    assert isinstance(await group_commit.append(requested(tenant.create())), Appended)
    assert await pool.fetchval("select count(*) from event_log.streams") == 2


async def test_a_fresh_command_whose_key_is_taken_leaves_its_neighbours_alone(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    await group_commit.append(requested(tenant.create(), claim(tenant), respond))
    requests = [requested(tenant.create(), is_fresh=True) for _ in range(3)]
    requests.insert(1, requested(tenant.create(), claim(tenant), respond, is_fresh=True))
    outcomes = await asyncio.gather(*(group_commit.append(request) for request in requests))
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Appended, Replayed, Appended, Appended]
    assert await pool.fetchval("select count(*) from event_log.streams") == 4
    assert await pool.fetchval("select count(*) from event_log.outbox") == 4
    assert await pool.fetchval("select count(*) from read_model.jobs") == 4


async def test_a_job_that_another_one_follows_is_whole_in_the_read_model_too(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    """Its last events came from a writer that leaves read models to the projector."""
    command = tenant.create()
    stream = (tenant.organization_id, command.influencer_id)
    await group_commit.append(requested(command))
    renderer = await started_group_commit(pool, write_read_models=False)
    error = JobError(code="RENDER_TIMEOUT", message="too slow", retryable=True)
    await renderer.append(requested(FailJob(*stream, command.job_id, error)))
    await renderer.stop()
    assert await _job_status(pool, command.job_id) == ("running", 1)

    next_job = tenant.create().job_id
    await group_commit.append(requested(RenderInfluencer(*stream, next_job)))
    assert await _job_status(pool, command.job_id) == ("failed", 2)
    assert await _job_status(pool, next_job) == ("running", 3)


async def _job_status(pool: Pool, job_id: str) -> tuple[str, int]:
    row = await pool.fetchrow(
        "select status, sequence from read_model.jobs where job_id = $1", job_id
    )
    assert row is not None
    return row["status"], row["sequence"]
