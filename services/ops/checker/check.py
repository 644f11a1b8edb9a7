"""All rules over one system, from plain records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.ops.checker.database import check_database
from services.ops.checker.envelope import read_events
from services.ops.checker.facts import (
    Allowances,
    DatabaseContents,
    Journal,
    LogContents,
    Rows,
    Violation,
)
from services.ops.checker.journal import check_journal
from services.ops.checker.media import check_media
from services.ops.checker.outbox import check_outbox_rows
from services.ops.checker.streams import check_streams


@dataclass(frozen=True, slots=True)
class Report:
    """`violations` holds all of them, not only the first."""

    violations: Sequence[Violation]
    records: int = 0
    streams: int = 0
    jobs: int = 0
    checked: Sequence[str] = field(default_factory=tuple)

    @property
    def is_sound(self) -> bool:
        return not self.violations

    @property
    def rules_broken(self) -> Counter[str]:
        return Counter(violation.rule for violation in self.violations)


def check(
    log: LogContents,
    database: DatabaseContents | None = None,
    journal: Journal | None = None,
    media_folder: Path | None = None,
    allowed: Allowances | None = None,
    outbox_rows: Rows | None = None,
) -> Report:
    """Checks the log, and it against whatever else is given.

    `outbox_rows`: all that there ever were, for whoever kept a copy of them.
    """
    allowed = allowed or Allowances()
    events, violations = read_events(log.records)
    streams, of_streams = check_streams(events, allowed.running_jobs)
    violations += of_streams
    checked = ["log"]
    if journal is not None:
        checked.append("journal")
        violations += check_journal(journal, streams, events)
    if database is not None:
        checked.append("database")
        violations += check_database(database, log, streams, events, allowed)
    if media_folder is not None:
        checked.append("media")
        violations += check_media(events, media_folder)
    if outbox_rows is not None:
        checked.append("outbox")
        violations += check_outbox_rows(outbox_rows, log.records)
    jobs = sum(len(stream.jobs) for stream in streams.values())
    return Report(violations, len(log.records), len(streams), jobs, tuple(checked))
