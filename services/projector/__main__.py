"""The projector: folds the log into the read models (`python -m services.projector`)."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from services.core.eventlog.topics import TopicNames
from services.core.garbage import spare_collections
from services.core.notifications import READ_MODEL_CHANNEL, Notifier
from services.core.postgres import open_pool
from services.core.service import ReadinessCheck, run_service, run_until, serve_operations
from services.core.settings import load_settings
from services.projector.projector import Projector
from services.projector.settings import ProjectorSettings
from services.projector.status import check_postgres


async def serve(settings: ProjectorSettings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.database_url.get_secret_value(),
            size=settings.database_pool_size,
            application="projector",
        )
        stack.callback(pool.terminate)
        notifier = Notifier(pool, READ_MODEL_CHANNEL)
        projector = Projector(
            pool,
            settings.kafka_bootstrap_servers,
            TopicNames(settings.kafka_topic_prefix),
            notifier,
            instance=settings.projector_instance or None,
            batch_size=settings.projector_batch_size,
            stuck_after=settings.projector_stuck_after,
        )
        checks: dict[str, ReadinessCheck] = {
            "postgres": partial(check_postgres, pool),
            "kafka": projector.status.check_kafka,
            "projection": projector.status.check_freshness,
        }
        await serve_operations(
            stack,
            settings.operations_host,
            settings.projector_operations_port,
            checks,
            projector.status.report,
        )
        await run_until(stop, {"projector": projector.run(), "notifier": notifier.run()})


def main() -> None:
    settings = load_settings(ProjectorSettings)
    spare_collections()
    run_service("projector", settings, partial(serve, settings))


if __name__ == "__main__":
    main()
