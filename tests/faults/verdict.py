"""What a round comes to: everything that is left, judged by those who know nothing of the code."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.stack import Stack
from services.core.postgres import Pool
from services.ops.checker.check import check
from services.ops.checker.facts import LogContents
from services.ops.checker.journal import read_journal
from services.ops.checker.sources import read_database, read_log
from tests.faults.journal import Journal
from tests.faults.operator_commands import rebuilt, verified
from tests.faults.outbox_copy import read_outbox_rows
from tests.faults.system import System


@dataclass(frozen=True)
class Verdict:
    """`violations` are all promises that were seen broken."""

    faults: Mapping[str, int]
    asked: int
    accepted: int
    unanswered: int
    reads: int
    violations: list[str]


async def compared(stack: Stack, system: System) -> list[str]:
    """By the operator's own commands: streams, read models and a rebuild with the log."""
    return await verified(stack, system) + await rebuilt(stack, system)


async def checked(
    stack: Stack, system: System, pool: Pool, journal: Journal
) -> tuple[list[str], LogContents]:
    """By the checker: log, streams, read models, outbox, journal and pictures of a system at rest
    agree. With the log that was read.
    """
    # The database first: what it holds by then is in the outbox, or on the log that follows.
    prefix = system.topics.prefix
    rows = await read_outbox_rows(pool)
    contents = await read_database(system.database_url, prefix)
    log = await read_log(stack.bootstrap_servers, prefix)
    answers = read_journal(journal.path, complete=True)
    report = await asyncio.to_thread(
        check, log, contents, answers, system.media_folder, outbox_rows=rows
    )
    return [f"{found.rule} {found.key}: {found.detail}" for found in report.violations], log


def event_ids(log: LogContents) -> set[str]:
    return {dict(record.headers)["ce_id"].decode() for record in log.records}
