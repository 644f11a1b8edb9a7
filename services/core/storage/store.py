"""The object store: one small port, and its adapter over obstore (folder, S3, memory)."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from services.core.storage.errors import (
    ObjectNotFound,
    RangeNotSatisfiable,
    StorageUnavailable,
)
from services.core.storage.keys import validated_key, validated_prefix
from services.core.storage.urls import checked_store_url

Result = TypeVar("Result")

ByteRange = tuple[int, int]
"""Start (inclusive) and end (exclusive), in bytes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size_bytes: int
    last_modified: datetime


class ObjectStore(Protocol):
    """Bytes under validated keys.

    Every method raises InvalidKey for a key that is not one and StorageUnavailable when the
    store fails.
    """

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """Store `content` whole, replacing what the key named; durable on return."""

    async def get(self, key: str, range: ByteRange | None = None) -> bytes:
        """Return the object, or the part of `range` that exists.

        Raises ObjectNotFound, and RangeNotSatisfiable for a range that starts behind the end.
        """

    async def head(self, key: str) -> ObjectInfo:
        """Describe the object. Raises ObjectNotFound."""

    async def exists(self, key: str) -> bool:
        """Say whether the key names an object."""

    def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects below `prefix` (whole path segments), in no particular order."""

    async def delete(self, key: str) -> None:
        """Remove the object; removing what is not there is no error."""

    async def put_url(self, key: str, lifetime: timedelta) -> str | None:
        """A URL that stores under `key` whatever is PUT there meanwhile.

        None for a store that has no URLs of its own.
        """


def open_object_store(url: str, options: Mapping[str, Any] | None = None) -> ObjectStore:
    """Open `file:///dir`, `s3://bucket/prefix` or `memory://`.

    `options` are obstore's for S3 (such as `endpoint`, `region`, `access_key_id`,
    `client_options`); the other kinds take none. A folder is made if it is missing. Raises
    ValueError for any other URL and StorageUnavailable if the store cannot be opened.
    """
    parts = urlsplit(checked_store_url(url))
    try:
        if parts.scheme == "memory":
            return ObstoreObjectStore(MemoryStore())
        if parts.scheme == "file":
            return FolderObjectStore(Path(unquote(parts.path)))
        # We delete one object at a time; not every S3 knows how to delete many.
        return ObstoreObjectStore(
            S3Store.from_url(url, **{"disable_bulk_delete": True, **(options or {})})
        )
    except (BaseError, OSError) as error:
        raise StorageUnavailable("open", str(error)) from error


class ObstoreObjectStore:
    """ObjectStore over any obstore store that keeps a content type and is durable by itself."""

    def __init__(self, store: LocalStore | MemoryStore | S3Store) -> None:
        self._store = store

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        attributes = {"Content-Type": content_type}
        await self._put(validated_key(key), content, attributes)

    async def _put(self, key: str, content: bytes, attributes: dict[str, str] | None) -> None:
        # One plain request: an upload in parts could leave parts behind when it is cut off.
        await _translated(
            "put",
            key,
            obstore.put_async(
                self._store,
                key,
                content,
                attributes=attributes,
                use_multipart=False,
            ),
        )

    async def get(self, key: str, range: ByteRange | None = None) -> bytes:
        validated_key(key)
        if range is not None:
            return await self._get_range(key, range)
        result = await _translated("get", key, obstore.get_async(self._store, key))
        return bytes(await _translated("get", key, result.bytes_async()))

    async def _get_range(self, key: str, range: ByteRange) -> bytes:
        start, end = range
        # The stores disagree about ranges that reach past the end; the size settles it.
        size = (await self.head(key)).size_bytes
        if not 0 <= start < min(end, size):
            raise RangeNotSatisfiable(key, start, end)
        content = obstore.get_range_async(self._store, key, start=start, end=min(end, size))
        return bytes(await _translated("get", key, content))

    async def head(self, key: str) -> ObjectInfo:
        validated_key(key)
        found = await _translated("head", key, obstore.head_async(self._store, key))
        return ObjectInfo(key, found["size"], found["last_modified"])

    async def exists(self, key: str) -> bool:
        try:
            await self.head(key)
        except ObjectNotFound:
            return False
        return True

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        validated_prefix(prefix)
        try:
            async for batch in obstore.list(self._store, prefix=prefix or None):
                for found in batch:
                    yield ObjectInfo(found["path"], found["size"], found["last_modified"])
        except (BaseError, OSError) as error:
            raise StorageUnavailable("list", str(error)) from error

    async def delete(self, key: str) -> None:
        validated_key(key)
        try:
            await _translated("delete", key, obstore.delete_async(self._store, key))
        except ObjectNotFound:
            return

    async def put_url(self, key: str, lifetime: timedelta) -> str | None:
        validated_key(key)
        if not isinstance(self._store, S3Store):
            return None
        return await _translated("sign", key, obstore.sign_async(self._store, "PUT", key, lifetime))


class FolderObjectStore(ObstoreObjectStore):
    """ObjectStore in a folder.

    obstore writes a staging file beside the target and renames it, so a reader never sees half
    an object; but it does not flush to the disk. `put` therefore flushes the file and the folders
    above it before it returns: an event may name the object from then on, power cut or not. A cut
    before that may leave an empty file, which is why writing the same key again always writes.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        super().__init__(LocalStore(self._folder))

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        # A folder has nowhere to keep a content type; the extension in the key tells it.
        await self._put(validated_key(key), content, None)
        try:
            await asyncio.to_thread(_flush_with_parents, self._folder / key, self._folder)
        except OSError as error:
            raise StorageUnavailable("put", str(error)) from error


def _flush_with_parents(file: Path, root: Path) -> None:
    _flush(file)
    for folder in file.parents:
        _flush(folder)
        if folder == root:
            return


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _translated(operation: str, key: str, call: Awaitable[Result]) -> Result:
    try:
        return await call
    except FileNotFoundError as error:
        raise ObjectNotFound(key) from error
    except (BaseError, OSError) as error:
        raise StorageUnavailable(operation, str(error)) from error
