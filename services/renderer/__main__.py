"""The renderer: makes the images that the log asks for (`python -m services.renderer`)."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from schemas.ids import UlidSource
from services.core.clock import system_clock
from services.core.eventlog.group_commit import GroupCommit
from services.core.eventlog.topics import TopicNames
from services.core.notifications import OUTBOX_CHANNEL, Notifier, listen
from services.core.postgres import Pool, open_pool
from services.core.rendering.backend_choice import open_backend
from services.core.rendering.base import RenderBackend
from services.core.rendering.images import ImageMaker
from services.core.service import run_service, run_until, serve_operations
from services.core.settings import load_settings
from services.core.storage.inspector import ImageInspector
from services.core.storage.store import open_object_store
from services.core.storage.sweep_safe import SweepSafeStore
from services.core.watchdog import Watchdog
from services.core.work.housekeeping import keep_house
from services.core.work.render_queue import CANCEL_CHANNEL, QUEUE_CHANNEL, RenderQueue, RenderTask
from services.core.work.worker import RetryPolicy, Worker
from services.renderer.ingest import Ingest
from services.renderer.job_runner import JobRunner
from services.renderer.metrics import JOBS, QUEUE_DEPTH
from services.renderer.settings import RendererSettings


async def serve(settings: RendererSettings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        database_url = settings.database_url.get_secret_value()
        pool = await open_pool(
            database_url, size=settings.database_pool_size, application="renderer"
        )
        stack.callback(pool.terminate)
        notifier = Notifier(pool, OUTBOX_CHANNEL)
        group_commit = await _group_commit(stack, pool, notifier)
        backend = await open_backend(settings.renderer_backend)
        stack.push_async_callback(backend.close)
        inspector = ImageInspector()
        stack.push_async_callback(inspector.close)
        queue = RenderQueue(pool, lease=settings.renderer_lease)
        worker = _worker(settings, queue, _runner(settings, pool, group_commit, backend, inspector))
        ingest = _ingest(settings, queue)
        await serve_operations(
            stack,
            settings.operations_host,
            settings.renderer_operations_port,
            {
                "postgres": queue.check,
                "kafka": ingest.check,
                "ingest": ingest.check_freshness,
                "worker": worker.check,
            },
            ingest.report,
        )
        await run_until(
            stop,
            {
                "worker": worker.run(),
                "queue-listener": listen(database_url, _heard(worker)),
                "ingest": ingest.run(),
                "notifier": notifier.run(),
                "append": group_commit.run(),
                "housekeeping": keep_house(queue, QUEUE_DEPTH),
                "watchdog": Watchdog(settings.renderer_hang_timeout).run(),
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
    settings: RendererSettings,
    pool: Pool,
    group_commit: GroupCommit,
    backend: RenderBackend,
    inspector: ImageInspector,
) -> JobRunner:
    images = ImageMaker(
        backend=backend,
        inspector=inspector,
        store=SweepSafeStore(open_object_store(settings.media_store_url), pool),
        base_url=settings.base_url,
        clock=system_clock,
        ids=UlidSource(),
        timeout=settings.renderer_image_timeout,
    )
    return JobRunner(
        pool,
        group_commit,
        images,
        settings.renderer_parallel_images,
        settings.renderer_max_starts,
    )


def _worker(
    settings: RendererSettings, queue: RenderQueue, runner: JobRunner
) -> Worker[RenderTask]:
    return Worker(
        queue=queue,
        runner=runner,
        retries=RetryPolicy(
            settings.renderer_max_attempts,
            settings.renderer_retry_delay,
            settings.renderer_retry_delay_limit,
            settings.renderer_busy_limit,
        ),
        concurrency=settings.renderer_concurrency,
        poll_interval=settings.renderer_poll_interval,
        lease=settings.renderer_lease,
        jobs=JOBS,
    )


def _heard(worker: Worker[RenderTask]) -> dict[str, Callable[[str], None]]:
    return {QUEUE_CHANNEL: lambda _: worker.wake(), CANCEL_CHANNEL: worker.cancel}


def _ingest(settings: RendererSettings, queue: RenderQueue) -> Ingest:
    return Ingest(
        queue,
        settings.kafka_bootstrap_servers,
        TopicNames(settings.kafka_topic_prefix),
        settings.renderer_instance_id,
        stuck_after=settings.renderer_stuck_after,
    )


def main() -> None:
    settings = load_settings(RendererSettings)
    run_service("renderer", settings, partial(serve, settings))


if __name__ == "__main__":
    main()
