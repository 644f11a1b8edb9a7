"""The relay over real Kafka: each event once, in its stream's order, whatever is killed."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import asyncpg
import pytest

from deploy.local.stack import Stack
from schemas.events import Event
from services.core.domain.commands import StartTraining
from services.core.eventlog.cursor import read_last_cursor
from services.core.eventlog.relay import ShardCountMismatch, ShardRelay
from services.core.eventlog.topics import TopicNames, create_topics
from tests.integration.eventlog.conftest import Chain, assert_gap_free, requested, running
from tests.reading import read_events, read_records, read_settled
from tests.topic_configuration import small_records_only
from tests.topics import new_topic_names
from tests.waiting import eventually


async def test_events_reach_kafka_whole_once_and_in_order(chain: Chain) -> None:
    async with running(chain.relay()):
        appended: list[Event] = []
        for _ in range(20):
            command = chain.tenant.create()
            start = StartTraining(
                command.organization_id, command.influencer_id, command.job_id, "drawing"
            )
            for request in (requested(command), requested(start), requested(start)):
                appended += (await chain.group_commit.append(request)).events  # type: ignore[union-attr]
        await chain.until_published()
    seen = await read_events(chain.stack.bootstrap_servers, chain.topics.influencer, len(appended))
    assert {event.id: event for event in seen} == {event.id: event for event in appended}
    assert len(seen) == len(appended)
    assert_gap_free(seen)
    records = await read_records(chain.stack.bootstrap_servers, chain.topics.influencer)
    assert all(
        record.key.decode() == event.key for record, event in zip(records, seen, strict=True)
    )


async def test_rows_that_commit_out_of_the_order_of_their_ids_are_not_skipped(chain: Chain) -> None:
    async with running(chain.relay()):
        async with chain.pool.acquire() as late, late.transaction():
            await late.execute(
                "insert into event_log.outbox (event_id, slot, topic, key, headers, value)"
                " values ('evt_late', 0, 'influencer.events.v1', 'late', '{}', 'x')"
            )
            for _ in range(5):
                await chain.group_commit.append(requested(chain.tenant.create()))
            await eventually(
                "later rows are published",
                lambda: _published(chain.stack, chain.topics, at_least=5),
            )
        await eventually(
            "the late row is published", lambda: _published(chain.stack, chain.topics, 6)
        )


async def _published(stack: Stack, topics: TopicNames, at_least: int) -> bool:
    records = await read_records(stack.bootstrap_servers, topics.influencer)
    return len(records) >= at_least


async def test_killed_twelve_times_under_load_it_neither_loses_nor_doubles(chain: Chain) -> None:
    chance = random.Random(7)
    written: list[Event] = []
    loading = asyncio.Event()

    async def load() -> None:
        while not loading.is_set():
            outcomes = await asyncio.gather(
                *(chain.group_commit.append(requested(chain.tenant.create())) for _ in range(5))
            )
            for outcome in outcomes:
                written.extend(outcome.events)  # type: ignore[union-attr]
            await _pause(0.01)

    loader = asyncio.create_task(load())
    for _ in range(12):
        process = await chain.relay_process()
        before = len(written)
        await eventually("load goes on", lambda b=before: _grown(written, b + 50))  # type: ignore[misc]
        await _pause(chance.random() * 0.3)
        process.kill()
        await process.wait()
    loading.set()
    await loader
    async with running(chain.relay()):
        await chain.until_published()
    seen = await read_events(chain.stack.bootstrap_servers, chain.topics.influencer, len(written))
    assert sorted(event.id for event in seen) == sorted(event.id for event in written)


async def _grown(written: list[Event], size: int) -> bool:
    return len(written) >= size


async def _pause(seconds: float) -> None:
    """Spreads load and kills over time; nothing is waited for here."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def test_killed_between_commit_and_delete_the_next_leader_does_not_publish_again(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment, made certain: the first leader ends in place of deleting."""

    class Killed(Exception):
        pass

    async def end_here(*_: object) -> int:
        raise Killed

    for _ in range(10):
        await chain.group_commit.append(requested(chain.tenant.create()))
    first = chain.relay()
    with monkeypatch.context() as patched:
        patched.setattr("services.core.eventlog.relay._delete", end_here)
        patched.setattr(ShardRelay, "_recover", _no_recovery)
        async with running(first):
            await eventually("it was killed", lambda: _ended_by(first, "Killed"))
    assert await chain.pool.fetchval("select count(*) from event_log.outbox") == 10

    second = chain.relay()
    async with running(second):
        await chain.group_commit.append(requested(chain.tenant.create()))
        await chain.until_published()
    assert second.status.recovered == 10
    assert len(await read_settled(chain.stack.bootstrap_servers, chain.topics.influencer, 11)) == 11


async def _no_recovery(*_: object) -> None:
    return None


async def _ended_by(relay: ShardRelay, fault: str) -> bool:
    return fault in (relay.status.last_fault or "")


async def test_a_record_that_fails_aborts_its_transaction_and_leaves_the_cursor(
    chain: Chain,
) -> None:
    """The broker refuses the events, and takes the cursor's record: commit_transaction succeeds
    all the same, so the relay must look at each future."""
    servers, names = chain.stack.bootstrap_servers, chain.topics
    relay = chain.relay()
    async with running(relay):
        await chain.group_commit.append(requested(chain.tenant.create()))
        await chain.until_published()
        before = await read_last_cursor(servers, names.cursor, 0)
        async with small_records_only(servers, names, names.influencer, limit=256):
            for _ in range(5):
                await chain.group_commit.append(requested(chain.tenant.create()))
            await eventually("the relay begins anew", lambda: _begun(relay, terms=3), within=60)
            assert "MessageSizeTooLarge" in (relay.status.last_fault or "")
            assert await chain.pool.fetchval("select count(*) from event_log.outbox") == 5
        assert before.event_ids
        assert await read_last_cursor(servers, names.cursor, 0) == before
        await chain.until_published(within=40)
        assert (await read_last_cursor(servers, names.cursor, 0)).event_ids != before.event_ids
    assert len(await read_settled(servers, names.influencer, 6)) == 6


async def _begun(relay: ShardRelay, terms: int) -> bool:
    return relay.status.terms >= terms


async def test_a_second_relay_waits_and_takes_over(chain: Chain) -> None:
    first, second = (chain.relay() for _ in range(2))
    async with running(second):
        async with running(first):
            await eventually("one leads", lambda: _leads(first, second))
            await chain.group_commit.append(requested(chain.tenant.create()))
            await chain.until_published()
            assert first.status.leads != second.status.leads
        await chain.group_commit.append(requested(chain.tenant.create()))
        await chain.until_published()
        assert second.status.leads
    assert len(await read_settled(chain.stack.bootstrap_servers, chain.topics.influencer, 2)) == 2


async def _leads(*relays: ShardRelay) -> bool:
    return any(relay.status.leads for relay in relays)


async def test_shards_share_the_outbox_and_keep_every_streams_order(chain: Chain) -> None:
    chain = replace(chain, topics=new_topic_names())
    await create_topics(
        chain.stack.bootstrap_servers, chain.topics, shard_count=3, replication_factor=1
    )
    relays = [chain.relay(shard, shard_count=3) for shard in range(3)]
    async with AsyncExitStack() as running_relays:
        for relay in relays:
            await running_relays.enter_async_context(running(relay))
        for _ in range(30):
            command = chain.tenant.create()
            start = StartTraining(
                command.organization_id, command.influencer_id, command.job_id, "drawing"
            )
            for request in (requested(command), requested(start)):
                await chain.group_commit.append(request)
        await chain.until_published()
    seen = await read_events(chain.stack.bootstrap_servers, chain.topics.influencer, 60)
    assert len(seen) == 60
    assert_gap_free(seen)
    assert sum(relay.status.published for relay in relays) == 60
    assert all(relay.status.published for relay in relays)


async def test_a_relay_that_divides_the_outbox_otherwise_refuses_to_run(chain: Chain) -> None:
    """Two that disagreed would break the order of streams."""
    async with running(chain.relay()):
        other = chain.relay(1, shard_count=2)
        await eventually("the first is configured", lambda: _is_configured(chain.database_url))
        with pytest.raises(ShardCountMismatch):
            await other.run()


async def _is_configured(database_url: str) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return bool(
            await connection.fetchval("select exists (select from event_log.relay_configuration)")
        )
    finally:
        await connection.close()
