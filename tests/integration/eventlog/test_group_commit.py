"""Sharing transactions: fair between organizations, and nobody waits for ever."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from schemas.ids import UlidSource
from services.core.clock import system_clock
from services.core.domain.commands import UpdateInfluencer
from services.core.errors import DependencyUnavailable
from services.core.eventlog import group_commit as module
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.requests import (
    Appended,
    AppendRequest,
    IdempotencyKeyBusy,
    TooManyJobs,
)
from services.core.postgres import Pool
from tests.integration.eventlog.conftest import Tenant, new_tenant, requested
from tests.integration.eventlog.test_append import claim, respond

WITHIN = 5.0
LOCK_JOBS = "select pg_advisory_xact_lock(hashtextextended('jobs at once ' || $1, 0))"


def idle(
    pool: Pool, *, after_commit: Callable[[], None] = lambda: None, max_batch: int = 128
) -> GroupCommit:
    """One that isn't started."""
    return GroupCommit(
        pool,
        clock=system_clock,
        ids=UlidSource(),
        write_read_models=True,
        after_commit=after_commit,
        writers=1,
        max_batch=max_batch,
    )


async def under_way(
    group_commit: GroupCommit, requests: list[AppendRequest]
) -> list[asyncio.Task[object]]:
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(group_commit.append(request)) for request in requests
    ]
    await asyncio.sleep(0)
    return tasks


@asynccontextmanager
async def holding(pool: Pool, statement: str, *arguments: str) -> AsyncIterator[None]:
    """Another transaction that has done `statement` and hangs."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(statement, *arguments)
        yield
        await transaction.rollback()


async def test_a_queue_longer_than_a_batch_is_served_in_turns(pool: Pool) -> None:
    noisy, quiet = new_tenant(), new_tenant()
    order: list[int] = []

    async def append(number: int, tenant: Tenant) -> None:
        await group_commit.append(requested(tenant.create()))
        order.append(number)

    group_commit = idle(pool, max_batch=10)
    owners = [noisy] * 60 + [quiet] * 5
    tasks = [asyncio.create_task(append(*each)) for each in enumerate(owners)]
    await asyncio.sleep(0)
    await group_commit.start()
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*tasks)
    await group_commit.stop()
    assert set(range(60, 65)) < set(order[:10])


@pytest.mark.parametrize("is_committed", [True, False])
async def test_only_who_waits_for_its_key_is_told_that_it_is_busy(
    pool: Pool,
    group_commit: GroupCommit,
    tenant: Tenant,
    is_committed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another holds the key: new, or one of the day before yesterday that it takes over."""
    monkeypatch.setattr(module, "CLAIM_LOCK_TIMEOUT", 0.3)
    key = claim(tenant)
    values = (tenant.organization_id, key.scope, key.key)
    insert = (
        "insert into event_log.idempotency_keys (organization_id, scope, idempotency_key,"
        " request_hash, status, headers, body, created_at)"
        " values ($1, $2, $3, decode(repeat('00', 32), 'hex'), 202, '{}', '',"
        " now() - interval '3 days')"
    )
    touch = "update event_log.idempotency_keys set status = 201 where idempotency_key = $1"
    if is_committed:
        await pool.execute(insert, *values)
    holds = holding(pool, touch, key.key) if is_committed else holding(pool, insert, *values)
    async with holds:
        with pytest.raises(IdempotencyKeyBusy):
            await group_commit.append(requested(tenant.create(), key, respond))


@pytest.mark.parametrize(
    ("has_key", "told"), [(True, IdempotencyKeyBusy), (False, DependencyUnavailable)]
)
async def test_who_waits_for_its_stream_is_told_to_try_again(
    pool: Pool,
    group_commit: GroupCommit,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    has_key: bool,
    told: type[Exception],
) -> None:
    """Who holds it may be the first request with the same key: then it is the key that is busy."""
    monkeypatch.setattr(module, "CLAIM_LOCK_TIMEOUT", 0.3)
    create = tenant.create()
    await group_commit.append(requested(create))
    change = UpdateInfluencer(tenant.organization_id, create.influencer_id, {"name": "Bea"})
    lock = "select from event_log.streams where stream_id = $1 for update"
    async with holding(pool, lock, create.influencer_id):
        with pytest.raises(told):
            await group_commit.append(
                requested(change, claim(tenant) if has_key else None, respond)
            )
    assert isinstance(
        await group_commit.append(requested(change, claim(tenant), respond)), Appended
    )


async def test_a_writer_that_fails_is_told_of_and_leaves_nobody_waiting(
    pool: Pool, tenant: Tenant
) -> None:
    def after_commit() -> None:
        raise RuntimeError("a bug")

    group_commit = idle(pool, after_commit=after_commit, max_batch=1)
    done, waiting = await under_way(group_commit, [requested(tenant.create()) for _ in range(2)])
    await group_commit.start()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(RuntimeError, match="a bug"):
            await group_commit.run()
        assert isinstance(await done, Appended)  # it is durable, whatever came behind it
        await group_commit.stop()
        assert isinstance(await waiting, Appended)
        with pytest.raises(DependencyUnavailable):
            await group_commit.append(requested(tenant.create()))


async def test_what_a_writer_has_taken_has_an_outcome_when_it_is_cut_off(
    pool: Pool, tenant: Tenant
) -> None:
    group_commit = idle(pool)
    async with holding(pool, "lock table event_log.streams in access exclusive mode"):
        (waiting,) = await under_way(group_commit, [requested(tenant.create())])
        await group_commit.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        group_commit._writers[0].cancel()
        async with asyncio.timeout(WITHIN):
            with pytest.raises(DependencyUnavailable):
                await waiting
    await group_commit.stop()


async def test_a_limit_is_exact_within_a_shared_transaction(pool: Pool, tenant: Tenant) -> None:
    others = new_tenant()
    group_commit = idle(pool)
    wanted = [requested(tenant.create(), is_fresh=True, jobs_at_most=5) for _ in range(8)]
    tasks = await under_way(group_commit, wanted + [requested(others.create()) for _ in range(8)])
    await group_commit.start()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await group_commit.stop()
    assert Counter(type(outcome) for outcome in outcomes) == {Appended: 13, TooManyJobs: 3}
    assert await pool.fetchval("select count(distinct xmin::text) from event_log.streams") == 1


async def test_jobs_that_another_replica_counts_hold_up_nobody_else(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    others = new_tenant()
    async with holding(pool, LOCK_JOBS, tenant.organization_id):
        limited = asyncio.create_task(
            group_commit.append(requested(tenant.create(), is_fresh=True, jobs_at_most=5))
        )
        async with asyncio.timeout(1.0):
            await asyncio.gather(
                *(group_commit.append(requested(others.create())) for _ in range(20)),
                *(group_commit.append(requested(others.create(), jobs_at_most=9)) for _ in "ab"),
            )
        assert not limited.done()
    assert isinstance(await limited, Appended)


async def test_nobody_waits_for_ever_until_its_jobs_are_counted(
    pool: Pool, group_commit: GroupCommit, tenant: Tenant
) -> None:
    async with holding(pool, LOCK_JOBS, tenant.organization_id), asyncio.timeout(WITHIN):
        with pytest.raises(DependencyUnavailable):
            await group_commit.append(requested(tenant.create(), jobs_at_most=5))
