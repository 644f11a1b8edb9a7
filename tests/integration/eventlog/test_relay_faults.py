"""The relay where something hangs: itself, Kafka, or its connection to Postgres."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import aiokafka.client
import psutil
import pytest

from deploy.local.ports import LOOPBACK
from services.core.eventlog import relay as relay_module
from services.core.eventlog.relay import STOP_TIMEOUT, ShardRelay
from tests.faults.proxy import Proxy, Trouble, proxy_to
from tests.integration.eventlog.conftest import Chain, assert_gap_free, running
from tests.reading import read_events, read_settled
from tests.waiting import eventually

LEADS_WITHIN = 25.0
STOPS_WITHIN = STOP_TIMEOUT + 3
BATCH_BYTES = 200_000


@pytest.fixture
async def kafka_proxy(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Stands between Kafka and every client that connects from now on."""
    connect = aiokafka.client.create_conn
    async with proxy_to(int(chain.stack.bootstrap_servers.rpartition(":")[2])) as proxy:

        async def connect_through(_host: str, _port: int, **options: object) -> object:
            return await connect(LOOPBACK, proxy.port, **options)

        monkeypatch.setattr(aiokafka.client, "create_conn", connect_through)
        yield proxy


@asynccontextmanager
async def postgres_proxy(database_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(database_url)
    async with proxy_to(parts.port or 5432) as proxy:
        credentials = parts.netloc.rpartition("@")[0]
        through = parts._replace(netloc=f"{credentials}@{LOOPBACK}:{proxy.port}")
        yield proxy, urlunsplit(through)


@pytest.mark.parametrize("point", ["relay.before_commit", "relay.after_commit"])
async def test_a_leader_that_is_stopped_loses_its_lock_and_its_transactions(
    chain: Chain, point: str
) -> None:
    zombie = await chain.relay_process(STOP_AT=point, IDLE_LIMIT="3s")
    second = chain.relay()
    try:
        written = await chain.append()
        await eventually(f"it stops at {point}", lambda: _is_stopped(zombie))
        written += await chain.append()
        async with running(second):
            await eventually("another leads", lambda: _leads(second), within=LEADS_WITHIN)
            await chain.until_published()
            zombie.send_signal(signal.SIGCONT)
            await asyncio.wait_for(_says(zombie, "relay_term_ended"), 20)
            written += await chain.append()
            await chain.until_published()
            assert second.status.terms == 1
    finally:
        zombie.kill()
        await zombie.wait()
    seen = await read_events(chain.stack.bootstrap_servers, chain.topics.influencer, len(written))
    assert sorted(event.id for event in seen) == sorted(event.id for event in written)
    assert_gap_free(seen)


async def _is_stopped(process: asyncio.subprocess.Process) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


async def _leads(relay: ShardRelay) -> bool:
    return relay.status.leads


async def _says(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stdout is not None
    while words.encode() not in (line := await process.stdout.readline()):
        assert line, f"it ended without {words}"


async def test_a_round_ends_in_time_while_kafka_swallows_everything(
    chain: Chain, kafka_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ROUND_TIMEOUT", 2.0)
    monkeypatch.setattr(relay_module, "RING_SIZE", 1)
    relay = chain.relay()
    async with running(relay), _amid_a_round(chain, relay, kafka_proxy, monkeypatch) as written:
        await eventually("its term ends", lambda: _fault(relay, "TimeoutError"), within=10)
        assert not relay.status.leads
        await kafka_proxy.make(Trouble.NONE)
        await chain.until_published(within=30)
    servers = chain.stack.bootstrap_servers
    records = await read_settled(servers, chain.topics.influencer, len(written))
    assert [record.value for record in records] == written


async def test_it_stops_in_time_while_kafka_swallows_everything(
    chain: Chain, kafka_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "RING_SIZE", 1)
    relay = chain.relay()
    task = asyncio.create_task(relay.run())
    async with _amid_a_round(chain, relay, kafka_proxy, monkeypatch):
        started = time.monotonic()
        task.cancel()
        await asyncio.wait({task}, timeout=30)

        assert task.done()
        assert time.monotonic() - started < STOPS_WITHIN


@asynccontextmanager
async def _amid_a_round(
    chain: Chain, relay: ShardRelay, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[bytes]]:
    """Within, the relay waits for room to send more, and Kafka answers nothing. Gives all rows."""
    passed: list[str] = []
    monkeypatch.setattr(relay_module, "fail_point", passed.append)
    await eventually("it leads", lambda: _leads(relay))
    written = [b"first", *(bytes([place]) * BATCH_BYTES for place in range(3))]
    await _write(chain, written[:1])
    await chain.until_published()
    passed.clear()
    await proxy.make(Trouble.SWALLOWED)
    await _write(chain, written[1:])
    await eventually("one fills the batch", lambda: _passed(passed, "relay.sent"))
    yield written


async def _write(chain: Chain, values: list[bytes]) -> None:
    async with chain.pool.acquire() as connection, connection.transaction():
        await connection.executemany(
            "insert into event_log.outbox (event_id, slot, topic, key, headers, value)"
            " values (gen_random_uuid()::text, 0, 'influencer.events.v1', 'one', '{}', $1)",
            [(value,) for value in values],
        )


async def _passed(passed: list[str], point: str) -> bool:
    return point in passed


async def _fault(relay: ShardRelay, fault: str) -> bool:
    return fault in (relay.status.last_fault or "")


async def test_a_standby_whose_connection_is_dead_connects_anew_and_takes_over(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ROUND_TIMEOUT", 2.0)
    first = chain.relay()
    async with postgres_proxy(chain.database_url) as (proxy, through):
        standby = replace(chain, database_url=through).relay()
        async with AsyncExitStack() as standing_by:
            async with running(first):
                await eventually("it leads", lambda: _leads(first))
                await standing_by.enter_async_context(running(standby))
                await eventually("another stands by", lambda: _stands_by(chain, first))
                await proxy.make(Trouble.SWALLOWED)
                await eventually("it notices", lambda: _fault(standby, "TimeoutError"))
                await proxy.make(Trouble.NONE)
            written = await chain.append()
            await chain.until_published()
            assert standby.status.published == len(written)


async def _stands_by(chain: Chain, leader: ShardRelay) -> bool:
    waiting = await chain.pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name like 'relay-%' and query like '%advisory_lock%'"
    )
    return leader.status.leads and waiting == 1
