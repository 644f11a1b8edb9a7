"""The content service: makes pictures for briefs (`python -m services.content`)."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from schemas.ids import UlidSource
from services.content.health import LagObserver, check, expose, report
from services.content.intake import SUBSCRIPTION, TOPICS, TYPES, take_in
from services.content.job_runner import ContentRunner
from services.content.judging import judge_now_and_then
from services.content.metrics import JOBS, QUEUE_DEPTH
from services.content.settings import ContentSettings
from services.content.task import CANCEL_CHANNEL, PLACE, QUEUE_CHANNEL, ContentTask
from services.core.clock import system_clock
from services.core.eventlog.connection import kafka_options
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.topics import TopicNames
from services.core.notifications import OUTBOX_CHANNEL, Notifier, listen
from services.core.postgres import Connection, Pool, open_pool
from services.core.rendering.backend_choice import open_backend
from services.core.rendering.base import RenderBackend
from services.core.rendering.images import ImageMaker
from services.core.service import run_service, run_until, serve_operations
from services.core.settings import load_settings
from services.core.storage.inspector import ImageInspector
from services.core.storage.store import open_object_store
from services.core.storage.sweep_safe import SweepSafeStore
from services.core.subscriber import Subscriber
from services.core.subscriber.postgres_store import PostgresStore
from services.core.watchdog import Watchdog
from services.core.work.housekeeping import keep_house
from services.core.work.queue import WorkQueue
from services.core.work.worker import RetryPolicy, Worker


async def serve(settings: ContentSettings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        database_url = settings.database_url.get_secret_value()
        pool = await open_pool(
            database_url,
            size=settings.database_pool_size,
            application="content",
            search_path=PLACE.schema,
        )
        stack.callback(pool.terminate)
        notifier = Notifier(pool, OUTBOX_CHANNEL)
        group_commit = await _group_commit(stack, pool, notifier)
        backend = await open_backend(settings.renderer_backend)
        stack.push_async_callback(backend.close)
        inspector = ImageInspector()
        stack.push_async_callback(inspector.close)
        queue = WorkQueue(pool, PLACE, lease=settings.content_lease)
        worker = _worker(settings, queue, _runner(settings, pool, group_commit, backend, inspector))
        subscriber = _subscriber(settings, pool)
        expose(subscriber)
        await serve_operations(
            stack,
            settings.operations_host,
            settings.content_operations_port,
            {
                "postgres": queue.check,
                "subscriber": partial(check, subscriber),
                "worker": worker.check,
            },
            partial(report, subscriber),
        )
        await run_until(
            stop,
            {
                "worker": worker.run(),
                "queue-listener": listen(
                    database_url,
                    {QUEUE_CHANNEL: lambda _: worker.wake(), CANCEL_CHANNEL: worker.cancel},
                ),
                "subscriber": subscriber.run(),
                "notifier": notifier.run(),
                "append": group_commit.run(),
                "housekeeping": keep_house(queue, QUEUE_DEPTH),
                "judging": judge_now_and_then(pool, system_clock),
                "watchdog": Watchdog(settings.content_hang_timeout).run(),
            },
        )


async def _group_commit(stack: AsyncExitStack, pool: Pool, notifier: Notifier) -> GroupCommit:
    group_commit = GroupCommit(
        pool,
        clock=system_clock,
        ids=UlidSource(),
        write_read_models=False,
        after_commit=notifier.notify,
    )
    await group_commit.start()
    stack.push_async_callback(group_commit.stop)
    return group_commit


def _runner(
    settings: ContentSettings,
    pool: Pool,
    group_commit: GroupCommit,
    backend: RenderBackend,
    inspector: ImageInspector,
) -> ContentRunner:
    images = ImageMaker(
        backend=backend,
        inspector=inspector,
        store=SweepSafeStore(open_object_store(settings.media_store_url), pool),
        base_url=settings.base_url,
        clock=system_clock,
        ids=UlidSource(),
        timeout=settings.content_image_timeout,
    )
    return ContentRunner(pool, group_commit, images, system_clock, settings.content_max_starts)


def _worker(
    settings: ContentSettings, queue: WorkQueue[ContentTask], runner: ContentRunner
) -> Worker[ContentTask]:
    return Worker(
        queue=queue,
        runner=runner,
        retries=RetryPolicy(
            settings.content_max_attempts,
            settings.content_retry_delay,
            settings.content_retry_delay_limit,
            settings.content_busy_limit,
        ),
        concurrency=settings.content_concurrency,
        poll_interval=settings.content_poll_interval,
        lease=settings.content_lease,
        jobs=JOBS,
    )


def _subscriber(settings: ContentSettings, pool: Pool) -> Subscriber[Connection]:
    subscriber = Subscriber(
        TopicNames(settings.kafka_topic_prefix).named(SUBSCRIPTION),
        settings.kafka_bootstrap_servers,
        PostgresStore(pool),
        topics=TOPICS,
        topic_prefix=settings.kafka_topic_prefix,
        observer=LagObserver(),
        instance=settings.content_instance or None,
        clock=system_clock,
        kafka_options=kafka_options(),
    )
    subscriber.on_batch(*TYPES)(take_in)
    return subscriber


def main() -> None:
    settings = load_settings(ContentSettings)
    run_service("content", settings, partial(serve, settings))


if __name__ == "__main__":
    main()
