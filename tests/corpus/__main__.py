"""Captures the examples of every event anew: `python -m tests.corpus`.

Starts Postgres, Kafka and the services, lets clients do what leads to every type of event, and
writes what is then on the log to `schemas/examples`. Examples of versions that this code no longer
writes stay as they are.
"""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from deploy.local.stack import Stack, test_stack
from schemas.examples import FOLDER
from schemas.generate import as_json
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.postgres import Pool, open_pool
from services.ops.events import Span, records
from services.ops.migrations import migrate
from tests.conftest import database_named, execute
from tests.corpus.capture import chosen, example
from tests.corpus.scenario import play
from tests.faults.system import System, build_system
from tests.waiting import eventually

PUBLIC_URL = "https://influencers.example"


async def capture(stack: Stack, folder: Path) -> None:
    name = f"corpus_{uuid4().hex}"
    await execute(stack.database_url, f"create database {name}")
    database_url = database_named(stack.database_url, name)
    await migrate(database_url)
    topics = TopicNames(f"corpus-{uuid4().hex[:12]}.")
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    pool = await open_pool(database_url, size=5, application="corpus")
    try:
        system = await build_system(
            stack, database_url, pool, topics, folder, backend="tests.corpus.backend:choosy"
        )
        await _run(_publicly_named(system), pool)
    finally:
        pool.terminate()
    span = Span(topics.events, from_beginning=True)
    read = [example(r, topics) async for r in records(stack.bootstrap_servers, span)]
    for path, examples in chosen(read).items():
        target = FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(as_json(examples), encoding="utf-8")


async def _run(system: System, pool: Pool) -> None:
    try:
        await system.start()
        await play(system, pool)
        await eventually("all is on the log", lambda: _outbox_is_empty(pool))
    finally:
        system.stop()


def _publicly_named(system: System) -> System:
    for name, part in system.parts.items():
        environment = {**part.environment, "PUBLIC_BASE_URL": PUBLIC_URL}
        system.parts[name] = replace(part, environment=environment)
    return system


async def _outbox_is_empty(pool: Pool) -> bool:
    return not await pool.fetchval("select exists (select from event_log.outbox)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, test_stack(Path(folder) / "stack") as stack:
        asyncio.run(capture(stack, Path(folder)))


if __name__ == "__main__":
    main()
