"""The content service's subscription alone, in the test's own process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.content.intake import SUBSCRIPTION, TOPICS, TYPES, take_in
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool, open_pool
from services.core.subscriber import Subscriber
from services.core.subscriber.postgres_store import PostgresStore


@asynccontextmanager
async def content_pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=3, application="test", search_path="content")
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def subscribed(bootstrap_servers: str, topics: TopicNames, pool: Pool) -> AsyncIterator[None]:
    """Takes in events while it is open."""
    subscriber = Subscriber(
        topics.named(SUBSCRIPTION),
        bootstrap_servers,
        PostgresStore(pool),
        topics=TOPICS,
        topic_prefix=topics.prefix,
    )
    subscriber.on_batch(*TYPES)(take_in)
    async with subscriber:
        yield
