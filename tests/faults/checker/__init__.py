"""The checker, for the fault tests; its code stands in `services.ops.checker` to be installed."""

from services.ops.checker.check import Report, check
from services.ops.checker.facts import (
    Allowances,
    DatabaseContents,
    Journal,
    JournalEntry,
    LogContents,
    Record,
    Violation,
)
from services.ops.checker.journal import read_journal
from services.ops.checker.sources import read_database, read_log

__all__ = [
    "Allowances",
    "DatabaseContents",
    "Journal",
    "JournalEntry",
    "LogContents",
    "Record",
    "Report",
    "Violation",
    "check",
    "read_database",
    "read_journal",
    "read_log",
]
