"""How fast the log is verified, beside merely reading it and folding it onto an empty database."""

import secrets
import time
from dataclasses import dataclass

from pydantic import SecretStr

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.readmodel.rebuild.comparing import Comparison
from services.core.readmodel.rebuild.filling import Filled, Sources
from services.core.readmodel.rebuild.rebuild import Options as RebuildOptions
from services.core.readmodel.rebuild.rebuild import Rebuilding
from services.core.replay.reading import log_spans, read_chunks
from services.ops.restore import restore
from services.ops.settings import OperationsSettings
from services.ops.verification.report import Report
from services.ops.verification.verify import Options, verify
from tests.bench.histories import EVENTS_EACH
from tests.bench.projector import fresh_database, fresh_topics, write_backlog

EVENTS = 100_000
MEBIBYTE = 1024 * 1024
MEMORY = 256


@dataclass(frozen=True)
class Verified:
    """Events a second; `rebuilding` from the first record to the end of the comparison. `memory`
    is what the largest folding process had at most, in MiB."""

    reading: float
    restoring: float
    rebuilding: float
    one: float
    two: float
    memory: float


async def bench_verify(stack: Stack, events: int = EVENTS) -> Verified:
    names = TopicNames(f"bench-{secrets.token_hex(4)}.")
    servers = stack.bootstrap_servers
    async with fresh_database(stack.database_url) as url, fresh_topics(servers, names):
        settings = OperationsSettings(
            database_url=SecretStr(url),
            kafka_bootstrap_servers=servers,
            kafka_topic_prefix=names.prefix,
        )
        written = await write_backlog(servers, names, events // EVENTS_EACH)
        reading = written / await _reading_seconds(settings)
        started = time.perf_counter()
        await restore(settings, workers=1, memory=MEMORY)
        restoring = written / (time.perf_counter() - started)
        rebuilding = written / await _rebuilding_seconds(settings)
        one, two = [await _verified(settings, workers) for workers in (1, 2)]
    return Verified(
        reading,
        restoring,
        rebuilding,
        _rate(one),
        _rate(two),
        max(one.memory, two.memory) / MEBIBYTE,
    )


async def _reading_seconds(settings: OperationsSettings) -> float:
    started = time.perf_counter()
    spans = await log_spans(settings.kafka, settings.topics.events)
    async for _ in read_chunks(settings.kafka, spans, size=4000):
        pass
    return time.perf_counter() - started


async def _rebuilding_seconds(settings: OperationsSettings) -> float:
    """All but the swap: filled, indexed, caught up and compared."""
    sources = Sources(settings.database, settings.kafka)
    options = RebuildOptions(workers=1, memory=MEMORY, dry_run=True)
    rebuilding = Rebuilding(sources, settings.topics.events, options, Unobserved())
    outcome = await rebuilding.rebuild()
    assert outcome.phase == "equal"
    return outcome.seconds


class Unobserved:
    def entered(self, phase: str, offsets: int) -> None:
        pass

    def folded(self, filled: Filled) -> None:
        pass

    async def accepts(self, _: Comparison) -> bool:
        return False


async def _verified(settings: OperationsSettings, workers: int) -> Report:
    report = await verify(settings, Options(workers, MEMORY * MEBIBYTE, limit=10))
    assert report.is_sound
    return report


def _rate(report: Report) -> float:
    return report.folded / (report.fold_seconds + report.compare_seconds)
