"""What a fold of the log has come to, on disk: memory doesn't grow with the log.

One SQLite file for each process that folds, in a folder that goes when the command ends.
"""

import heapq
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

TABLES = """
pragma journal_mode = off;
pragma synchronous = off;
pragma cache_size = -8192;
create table folded (
    key text primary key, topic text, partition integer, sequence integer, state blob, jobs blob,
    events blob
);
create table assets (key text primary key, row blob);
create table later (
    key text, sequence integer, topic text, is_settled integer, headers blob, value blob
);
create table quarantine (
    topic text, partition integer, record_offset integer, key text, reason text
);
"""
INDEXES = """
create index if not exists later_by_key on later (key, sequence);
create index if not exists quarantine_by_place on quarantine (topic, partition, record_offset);
"""


class KeptStream(NamedTuple):
    """A stream as of the position; `events` are 16 bytes each, a digest and an offset.

    `state` is its JSON, `jobs` that of its former jobs.
    """

    key: str
    topic: str
    partition: int
    sequence: int
    state: bytes
    jobs: bytes
    events: bytes


class KeptAsset(NamedTuple):
    """`row` is canonical JSON."""

    key: str
    row: bytes


class LaterEvent(NamedTuple):
    """An event behind the position or still in the outbox.

    `is_settled`: it was appended before the snapshot, so streams must hold it.
    """

    key: str
    sequence: int
    topic: str
    is_settled: bool
    headers: bytes
    value: bytes


class QuarantinedRecord(NamedTuple):
    topic: str
    partition: int
    record_offset: int
    key: str
    reason: str

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.record_offset


class FoldStore:
    """Written by one process, closed, and then read by any."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)

    @staticmethod
    def create(path: Path) -> "FoldStore":
        store = FoldStore(path)
        store._database.executescript(TABLES)
        return store

    def keep_streams(self, streams: Iterable[KeptStream]) -> None:
        self._write("insert or replace into folded values (?, ?, ?, ?, ?, ?, ?)", streams)

    def find_stream(self, key: str) -> KeptStream | None:
        row = self._database.execute("select * from folded where key = ?", (key,)).fetchone()
        return KeptStream(*row) if row else None

    def keep_assets(self, assets: Iterable[KeptAsset]) -> None:
        """The first row of a key stays."""
        self._write("insert or ignore into assets values (?, ?)", assets)

    def keep_later(self, events: Iterable[LaterEvent]) -> None:
        self._write("insert into later values (?, ?, ?, ?, ?, ?)", events)

    def keep_quarantine(self, records: Iterable[QuarantinedRecord]) -> None:
        self._write("insert into quarantine values (?, ?, ?, ?, ?)", records)

    def close(self) -> None:
        self._database.executescript(INDEXES)
        self._database.close()

    def streams(self, low: str, high: str) -> Iterator[KeptStream]:
        """Those with low <= key < high, in the order of their keys."""
        found = self._database.execute(
            "select * from folded where key >= ? and key < ? order by key", (low, high)
        )
        return map(KeptStream._make, found)

    def assets(self, low: str, high: str) -> Iterator[KeptAsset]:
        found = self._database.execute(
            "select * from assets where key >= ? and key < ? order by key", (low, high)
        )
        return map(KeptAsset._make, found)

    def later_keys(self, low: str, high: str) -> Iterator[str]:
        found = self._database.execute(
            "select distinct key from later where key >= ? and key < ? order by key", (low, high)
        )
        return (key for (key,) in found)

    def later_events(self, key: str) -> list[LaterEvent]:
        found = self._database.execute("select * from later where key = ?", (key,))
        return [LaterEvent._make(row) for row in found]

    def quarantine(self) -> Iterator[QuarantinedRecord]:
        found = self._database.execute(
            "select * from quarantine order by topic, partition, record_offset"
        )
        return map(QuarantinedRecord._make, found)

    def count(self, table: str) -> int:
        (rows,) = self._database.execute(f"select count(*) from {table}").fetchone()
        return int(rows)

    def bounds(self, table: str, parts: int) -> list[str]:
        """Keys that divide the rows of `table` into about `parts` of the same size."""
        rows = self.count(table)
        places = sorted({rows * part // parts for part in range(1, parts)} - {0})
        query = f"select key from {table} order by key limit 1 offset ?"
        return [self._database.execute(query, (place,)).fetchone()[0] for place in places]

    def _write(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        with self._database:
            self._database.executemany(statement, rows)


class FoldStores:
    """All the files of one run, read as one."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._stores = [FoldStore(path) for path in paths]

    def streams(self, low: str, high: str) -> Iterator[KeptStream]:
        return heapq.merge(*(store.streams(low, high) for store in self._stores))

    def assets(self, low: str, high: str) -> Iterator[KeptAsset]:
        return heapq.merge(*(store.assets(low, high) for store in self._stores))

    def later_keys(self, low: str, high: str) -> Iterator[str]:
        return heapq.merge(*(store.later_keys(low, high) for store in self._stores))

    def later_events(self, key: str) -> list[LaterEvent]:
        return [event for store in self._stores for event in store.later_events(key)]

    def count(self, table: str) -> int:
        return sum(store.count(table) for store in self._stores)

    def sequence_of(self, key: str) -> int:
        """How far the stream is folded; 0 for one that isn't there."""
        found = (store.find_stream(key) for store in self._stores)
        return max((stream.sequence for stream in found if stream), default=0)

    def quarantine(self) -> Iterator[QuarantinedRecord]:
        return heapq.merge(*(store.quarantine() for store in self._stores))

    def bounds(self, table: str, parts: int) -> list[str]:
        """Keys that divide the rows of `table` into about `parts` of the same size."""
        fullest = max(self._stores, key=lambda store: store.count(table))
        return fullest.bounds(table, parts)
