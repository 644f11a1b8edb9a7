"""The api's composition root: everything is put together here and nowhere else."""

import asyncio
import hmac
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from schemas.ids import UlidSource
from services.api.authentication import ApiKeys
from services.api.calls import Api
from services.api.changes import Changes
from services.api.feed_cursor import FeedCursors
from services.api.jobs_at_once import JobsAtOnce
from services.api.pacing import Pacing
from services.api.pagination import Paginator
from services.api.rate_limit_exchange import RateLimitExchange
from services.api.rate_limits import RateLimits
from services.api.readers import BoundConnection, Readers
from services.api.records import MediaUrls
from services.api.revocations import Revocations
from services.api.server import serve_api
from services.api.settings import ApiSettings
from services.api.uploads import forget_old_uploads
from services.core.clock import system_clock
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.idempotency_keys import forget_expired_keys
from services.core.eventlog.outbox_bound import OutboxBound
from services.core.eventlog.relay import ShardRelay
from services.core.eventlog.topics import TopicNames
from services.core.notifications import OUTBOX_CHANNEL, Notifier
from services.core.postgres import Pool, acquire, open_pool
from services.core.readmodel.health import read_reports, read_upkeep
from services.core.service import ReadinessCheck, run_service, run_until, serve_operations
from services.core.settings import load_settings
from services.core.storage.store import open_object_store
from services.core.storage.sweep_safe import SweepSafeStore
from services.core.turns import Turns


async def serve(settings: ApiSettings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.database_url.get_secret_value(),
            size=settings.database_pool_size,
            application="api",
        )
        stack.callback(pool.terminate)
        relays = _relays(settings)
        notifier = Notifier(pool, OUTBOX_CHANNEL)
        changes = Changes(pool, settings.database_url.get_secret_value())
        group_commit = _group_commit(pool, notifier, relays, changes)
        await group_commit.start()
        stack.push_async_callback(group_commit.stop)
        await serve_operations(
            stack,
            settings.operations_host,
            settings.api_operations_port,
            {"postgres": _postgres_answers(pool)},
            partial(_projection, pool),
        )
        outbox_bound = OutboxBound(pool, settings.api_outbox_limit)
        readers = await _readers(stack, settings, pool)
        api = _api(settings, pool, readers, group_commit, changes, outbox_bound)
        await serve_api(stack, api, str(settings.api_host), settings.api_port)
        parts: dict[str, Coroutine[Any, Any, None]] = {
            f"relay-{relay.shard}": relay.run() for relay in relays
        }
        parts["notifier"] = notifier.run()
        parts["append"] = group_commit.run()
        parts["outbox-bound"] = outbox_bound.run()
        parts["rate-limits"] = RateLimitExchange(pool, api.rate_limits).run()
        parts["changes"] = changes.run()
        parts["revocations"] = api.revocations.run()
        parts["expired-keys"] = forget_expired_keys(pool)
        parts["old-uploads"] = forget_old_uploads(pool, api.store, api.clock)
        await run_until(stop, parts)


def _relays(settings: ApiSettings) -> list[ShardRelay]:
    if not settings.api_run_relay:
        return []
    return [
        ShardRelay(
            settings.database_url.get_secret_value(),
            settings.kafka_bootstrap_servers,
            TopicNames(settings.kafka_topic_prefix),
            shard,
            settings.relay_shard_count,
        )
        for shard in range(settings.relay_shard_count)
    ]


async def _readers(stack: AsyncExitStack, settings: ApiSettings, pool: Pool) -> Readers:
    if not settings.database_reader_role:
        return Readers(pool)
    walled = await open_pool(
        settings.database_url.get_secret_value(),
        size=settings.database_pool_size,
        application="api-reader",
        role=settings.database_reader_role,
        connection_class=BoundConnection,
    )
    stack.callback(walled.terminate)
    return Readers(walled, is_walled=True)


def _group_commit(
    pool: Pool, notifier: Notifier, relays: list[ShardRelay], changes: Changes
) -> GroupCommit:
    def after_commit() -> None:
        changes.appended()
        if relays and all(relay.status.leads for relay in relays):
            for relay in relays:
                relay.wake.set()
        else:
            notifier.notify()

    return GroupCommit(
        pool,
        clock=system_clock,
        ids=UlidSource(),
        write_read_models=True,
        after_commit=after_commit,
    )


def _api(
    settings: ApiSettings,
    pool: Pool,
    readers: Readers,
    group_commit: GroupCommit,
    changes: Changes,
    outbox_bound: OutboxBound,
) -> Api:
    secret = settings.media_signing_key.get_secret_value().encode()
    media_signing_key = hmac.digest(secret, b"media", "sha256")
    keys = ApiKeys(pool, system_clock)
    return Api(
        pool=pool,
        readers=readers,
        group_commit=group_commit,
        keys=keys,
        revocations=Revocations(pool, keys),
        load=settings.load_limits(),
        pacing=Pacing(),
        clock=system_clock,
        ids=UlidSource(),
        urls=MediaUrls(
            settings.base_url, media_signing_key, settings.media_url_lifetime, system_clock
        ),
        media_signing_key=media_signing_key,
        paginator=Paginator(hmac.digest(secret, b"cursor", "sha256")),
        feed_cursors=FeedCursors(
            hmac.digest(secret, b"feed", "sha256"),
            TopicNames(settings.kafka_topic_prefix).events,
        ),
        store=SweepSafeStore(open_object_store(settings.media_store_url), pool),
        rate_limits=RateLimits(time.monotonic),
        jobs_at_once=JobsAtOnce(pool),
        outbox_bound=outbox_bound,
        changes=changes,
        recording=Turns(max(1, settings.database_pool_size // 5)),
    )


def _postgres_answers(pool: Pool) -> ReadinessCheck:
    async def check() -> None:
        async with acquire(pool) as connection:
            await connection.execute("select 1 from event_log.relay_configuration limit 1")

    return check


async def _projection(pool: Pool) -> dict[str, Any]:
    """How fresh what it answers from is. Never a reason to take an api out: others lag as well."""
    async with acquire(pool) as connection:
        reports, upkeep = await read_reports(connection), await read_upkeep(connection)
    return {"projection": {**reports, **upkeep.as_json()}}


def main() -> None:
    settings = load_settings(ApiSettings)
    run_service("api", settings, lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
