"""Objects that no event names: found, and deleted beside services that go on writing (ADR 20).

What is named is gathered first: every SHA-256 in any event of the log, any state of a stream, any
event that waits in the outbox, any media asset. Whatever looks like one counts, so that nothing is
deleted because an event could not be read. Only then the store is listed.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from services.core.failpoints import fail_point
from services.core.postgres import Connection
from services.core.storage.errors import ObjectNotFound, StorageUnavailable
from services.core.storage.store import ObjectInfo, ObjectStore
from services.ops.events import Span, records
from services.ops.faults import CommandFault
from services.ops.progress import Meter, progress
from services.ops.settings import OperationsSettings

NO_TIMEOUT = 24 * 3600.0
GATHERED = 20_000
LOOKED_AT = 5_000
DELETED = 50
"""Objects at a time: whoever puts one of them meanwhile waits for so many to be deleted."""

DELETE_TIMEOUT = 20.0

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_IMAGE = re.compile(r"[^/]+/[^/]+/([0-9a-f]{64})\.(?:png|webp|jpg|mp4|webm|mp3|wav|ogg)")
_UPLOAD = re.compile(r"uploads/[^/]+/[^/]+/([^/]+)")

CREATE_NAMED = "create temporary table named (digest bytea primary key)"
GATHER = "insert into named select unnest($1::bytea[]) on conflict do nothing"
_MENTIONED = """
insert into named
select distinct decode(found[1], 'hex')
from {table}, regexp_matches({text}, '[0-9a-f]{{64}}', 'g') as found
on conflict do nothing
"""
# The outbox first: what leaves it meanwhile is on the log when that is read.
GATHER_FROM_POSTGRES = {
    "the outbox": _MENTIONED.format(table="event_log.outbox", text="convert_from(value, 'UTF8')"),
    "the streams": _MENTIONED.format(table="event_log.streams", text="state::text"),
    "the media assets": _MENTIONED.format(table="read_model.media_assets", text="state::text"),
}
FIND_NAMED = "select digest from named where digest = any($1::bytea[])"
FIND_UPLOADS = "select upload_id from event_log.uploads where upload_id = any($1::text[])"
FIND_WAITING = """
select distinct found[1] from event_log.outbox,
    regexp_matches(convert_from(value, 'UTF8'), '[0-9a-f]{64}', 'g') as found
where found[1] = any($1::text[])
"""
CONDEMN = """
insert into event_log.condemned_objects (object_key, condemned_at)
select unnest($1::text[]), clock_timestamp()
on conflict (object_key) do update set condemned_at = excluded.condemned_at
"""
LOCK_CONDEMNED = """
select object_key from event_log.condemned_objects where object_key = any($1::text[]) for update
"""
FORGET_CONDEMNED = """
delete from event_log.condemned_objects where condemned_at < now() - interval '1 day'
"""


class StrangeStore(CommandFault):
    """There are objects, and none of them is named."""

    def __init__(self, objects: int) -> None:
        super().__init__(
            f"nothing is deleted: of {objects:,} objects not one is named by an event; "
            "are MEDIA_STORE_URL, DATABASE_URL and the topics those of one installation?"
        )


@dataclass(slots=True)
class Found:
    """`unnamed` are old enough to be deleted, `recent` not yet; `foreign` are not ours."""

    named: int = 0
    recent: int = 0
    foreign: int = 0
    unnamed: list[ObjectInfo] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(found.size_bytes for found in self.unnamed)


@dataclass(slots=True)
class Swept:
    """`spared` were put again, or named, since they were found."""

    deleted: int = 0
    size_bytes: int = 0
    spared: int = 0


async def find_unnamed(
    settings: OperationsSettings, connection: Connection, store: ObjectStore, before: datetime
) -> Found:
    """What was last put before then and is named by nothing.

    Raises DependencyUnavailable, StorageUnavailable, StrangeStore, and CommandFault when a topic is
    missing.
    """
    await _gather_named(settings, connection)
    found = Found()
    with progress("looking at the store", unit="objects") as meter:
        async for some in _in_batches(store.list()):
            await _sort(connection, some, before, found)
            meter.advance(len(some))
    if found.unnamed and not found.named:
        raise StrangeStore(len(found.unnamed))
    return found


async def _gather_named(settings: OperationsSettings, connection: Connection) -> None:
    await connection.execute(CREATE_NAMED)
    for what, statement in GATHER_FROM_POSTGRES.items():
        with progress(f"reading {what}"):
            await connection.execute(statement, timeout=NO_TIMEOUT)
    with progress("reading the log") as meter:
        await _gather_from_log(settings, connection, meter)


async def _gather_from_log(
    settings: OperationsSettings, connection: Connection, meter: Meter
) -> None:
    digests: set[bytes] = set()
    span = Span(settings.topics.events, from_beginning=True)
    async with aclosing(records(settings.kafka, span, meter)) as log:
        async for record in log:
            digests.update(
                map(bytes.fromhex, map(bytes.decode, _DIGEST.findall(record.value or b"")))
            )
            if len(digests) >= GATHERED:
                await connection.execute(GATHER, list(digests))
                digests.clear()
    await connection.execute(GATHER, list(digests))


async def _in_batches(objects: AsyncIterator[ObjectInfo]) -> AsyncIterator[list[ObjectInfo]]:
    some: list[ObjectInfo] = []
    async for one in objects:
        some.append(one)
        if len(some) == LOOKED_AT:
            yield some
            some = []
    yield some


async def _sort(
    connection: Connection, objects: Sequence[ObjectInfo], before: datetime, found: Found
) -> None:
    known = await _named_among(connection, objects)
    for one in objects:
        name = _name_of(one)
        if name is None:
            found.foreign += 1
        elif name in known:
            found.named += 1
        elif one.last_modified >= before:
            found.recent += 1
        else:
            found.unnamed.append(one)


async def _named_among(connection: Connection, objects: Iterable[ObjectInfo]) -> set[str]:
    names = [name for one in objects if (name := _name_of(one))]
    digests = [bytes.fromhex(name) for name in names if _is_digest(name)]
    named = await connection.fetch(FIND_NAMED, digests)
    uploads = await connection.fetch(FIND_UPLOADS, names)
    return {row["digest"].hex() for row in named} | {row["upload_id"] for row in uploads}


def _name_of(one: ObjectInfo) -> str | None:
    """By which it is named: its SHA-256, or the id of the upload that it waits for."""
    matched = _UPLOAD.fullmatch(one.key) or _IMAGE.fullmatch(one.key)
    return matched[1] if matched else None


def _is_digest(name: str) -> bool:
    return _DIGEST.fullmatch(name.encode()) is not None


async def sweep(
    connection: Connection, store: ObjectStore, unnamed: Sequence[ObjectInfo], before: datetime
) -> Swept:
    """Deletes what was found; may be ended at any moment. `connection` found it.

    Raises DependencyUnavailable, StorageUnavailable.
    """
    swept = Swept()
    with progress("deleting", len(unnamed), unit="objects") as meter:
        for start in range(0, len(unnamed), DELETED):
            some = unnamed[start : start + DELETED]
            await _delete(connection, store, some, before, swept)
            meter.advance(len(some))
    await connection.execute(FORGET_CONDEMNED)
    return swept


async def _delete(
    connection: Connection,
    store: ObjectStore,
    objects: Sequence[ObjectInfo],
    before: datetime,
    swept: Swept,
) -> None:
    await connection.execute(CONDEMN, [one.key for one in objects])
    fail_point("sweep.condemned")
    async with connection.transaction():
        # What somebody has put again and pardoned is not among them any more.
        rows = await connection.fetch(LOCK_CONDEMNED, [one.key for one in objects])
        condemned = {row["object_key"] for row in rows}
        named = await _named_now(connection, objects)
        doomed = [one for one in objects if one.key in condemned and _name_of(one) not in named]
        deleted = await _delete_those(store, doomed, before)
        fail_point("sweep.deleted")
    swept.deleted += sum(deleted)
    swept.spared += len(objects) - sum(deleted)
    swept.size_bytes += sum(
        one.size_bytes for one, gone in zip(doomed, deleted, strict=True) if gone
    )


async def _named_now(connection: Connection, objects: Sequence[ObjectInfo]) -> set[str]:
    """What is named since the log was read was put since, save for what waits in the outbox."""
    waiting = await connection.fetch(FIND_WAITING, [_name_of(one) for one in objects])
    return await _named_among(connection, objects) | {str(row[0]) for row in waiting}


async def _delete_those(
    store: ObjectStore, doomed: Sequence[ObjectInfo], before: datetime
) -> list[bool]:
    """Which of them are deleted. Bounded, since writers wait for it."""
    try:
        async with asyncio.timeout(DELETE_TIMEOUT):
            return await asyncio.gather(*(_delete_old(store, one, before) for one in doomed))
    except TimeoutError as fault:
        raise StorageUnavailable("delete", f"no answer within {DELETE_TIMEOUT:g} s") from fault


async def _delete_old(store: ObjectStore, one: ObjectInfo, before: datetime) -> bool:
    """Unless it was put again: whoever does that from now on sees that it is condemned."""
    try:
        if (await store.head(one.key)).last_modified >= before:
            return False
    except ObjectNotFound:
        return False
    await store.delete(one.key)
    return True
