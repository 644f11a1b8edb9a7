"""What `verify` finds, and how two rows are compared. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Literal

import orjson

Row = Mapping[str, Any]
"""Column to value; a `state` is parsed JSON."""

Kind = Literal["differs", "missing", "unexpected"]
"""`missing`: the log has it and the database hasn't; `unexpected`: the other way round."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """`field` is a column, or a path into its JSON; None stands for what isn't there."""

    field: str
    log: Any
    database: Any

    def as_json(self) -> dict[str, Any]:
        return {"field": self.field, "log": self.log, "database": self.database}


@dataclass(frozen=True, slots=True)
class Difference:
    """`model` is a table, `key` its primary key; its parts are separated by `/`."""

    model: str
    key: str
    kind: Kind
    fields: tuple[FieldDifference, ...] = ()

    def as_json(self) -> dict[str, Any]:
        named = [field.as_json() for field in self.fields]
        return {"model": self.model, "key": self.key, "kind": self.kind, "fields": named}

    def told(self) -> dict[str, Any]:
        """As JSON for people and scripts: of a row that isn't there, no field is named."""
        return self.as_json() if self.kind == "differs" else {**self.as_json(), "fields": []}

    @staticmethod
    def of_json(read: Mapping[str, Any]) -> "Difference":
        fields = tuple(FieldDifference(**named) for named in read["fields"])
        return Difference(read["model"], read["key"], read["kind"], fields)


@dataclass(frozen=True, slots=True)
class Damage:
    """A record that can't be folded, and where on the log it is.

    `followed_by` counts the later records of its stream, which can't be folded without it.
    """

    topic: str
    partition: int
    offset: int
    key: str
    reason: str
    followed_by: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "key": self.key,
            "reason": self.reason,
            "followedBy": self.followed_by,
        }

    @staticmethod
    def of_json(read: Mapping[str, Any]) -> "Damage":
        place = read["topic"], read["partition"], read["offset"]
        return Damage(*place, read["key"], read["reason"], read["followedBy"])


@dataclass(slots=True)
class Hash:
    """One number for a whole model, from the log and from the database; the order is no matter."""

    rows: int = 0
    log: int = 0
    database: int = 0

    def add(self, log: bytes | None, database: bytes | None, rows: int = 1) -> None:
        """Takes rows in: the digest (8 bytes) of what they must be, and of what they are."""
        self.rows += rows if database is not None else 0
        self.log ^= int.from_bytes(log or b"")
        self.database ^= int.from_bytes(database or b"")

    def merge(self, other: "Hash") -> None:
        self.rows += other.rows
        self.log ^= other.log
        self.database ^= other.database

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "log": f"{self.log:016x}",
            "database": f"{self.database:016x}",
        }

    @staticmethod
    def of_json(read: Mapping[str, Any]) -> "Hash":
        return Hash(read["rows"], int(read["log"], 16), int(read["database"], 16))


@dataclass(slots=True)
class Comparison:
    """What came of comparing some rows; no more than `limit` differences of a model are named."""

    limit: int
    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, Hash] = field(default_factory=dict)

    def compare(self, model: str, key: str, log: Row | None, database: Row | None) -> None:
        """Takes in a row as it must be and as it is; None for one that isn't there."""
        expected = canonical(log) if log is not None else None
        found = canonical(database) if database is not None else None
        self.compare_canonical(model, key, expected, found)

    def compare_canonical(
        self, model: str, key: str, log: bytes | None, database: bytes | None
    ) -> None:
        """As `compare`, with rows as `canonical` gives them."""
        self.hash_of(model).add(digest(log), digest(database))
        if log != database and self.counts_named(model):
            rows = (None if row is None else orjson.loads(row) for row in (log, database))
            self.name(model, key, *rows)

    def name(self, model: str, key: str, log: Row | None, database: Row | None) -> None:
        self.differences.append(difference(model, key, log, database))

    def counts_named(self, model: str) -> bool:
        """Counts a difference, and says whether it is still to be named."""
        self.counts[model] = self.counts.get(model, 0) + 1
        return self.counts[model] <= self.limit

    def hash_of(self, model: str) -> Hash:
        return self.hashes.setdefault(model, Hash())


def canonical(row: Row) -> bytes:
    """The same bytes for the same row, whatever the order of its JSON's keys."""
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)


def digest(line: bytes | None) -> bytes | None:
    return None if line is None else blake2b(line, digest_size=8).digest()


def difference(model: str, key: str, log: Row | None, database: Row | None) -> Difference:
    kind: Kind = "missing" if database is None else "unexpected" if log is None else "differs"
    return Difference(model, key, kind, tuple(_field_differences(log or {}, database or {})))


def joined(found: Iterable[Difference]) -> list[Difference]:
    """A row whose key is found missing in one place and unexpected in another differs."""
    by_key: dict[tuple[str, str], Difference] = {}
    for each in found:
        key = each.model, each.key
        other = by_key.get(key)
        by_key[key] = each if other is None else _both(other, each)
    return list(by_key.values())


def _both(one: Difference, other: Difference) -> Difference:
    missing, unexpected = (one, other) if one.kind == "missing" else (other, one)
    log = {field.field: field.log for field in missing.fields}
    database = {field.field: field.database for field in unexpected.fields}
    return difference(one.model, one.key, log, database)


def _field_differences(log: Row, database: Row) -> Iterator[FieldDifference]:
    for column in sorted({*log, *database}):
        yield from _differences(column, log.get(column), database.get(column))


def _differences(path: str, log: Any, database: Any) -> Iterator[FieldDifference]:
    if isinstance(log, dict) and isinstance(database, dict):
        for name in sorted({*log, *database}):
            yield from _differences(f"{path}.{name}", log.get(name), database.get(name))
    elif isinstance(log, list) and isinstance(database, list):
        for place, (one, other) in enumerate(zip_longest(log, database)):
            yield from _differences(f"{path}.{place}", one, other)
    elif type(log) is not type(database) or log != database:
        yield FieldDifference(path, log, database)
