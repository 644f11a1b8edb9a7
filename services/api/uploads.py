"""Uploads by a signed URL: what was announced, kept until the bytes are an asset."""

import asyncio
import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import asyncpg

from schemas.uploads import MediaKind
from services.api.calls import Api
from services.core.clock import Clock
from services.core.errors import DependencyUnavailable
from services.core.postgres import Connection, Pool, acquire
from services.core.storage.errors import StorageUnavailable
from services.core.storage.keys import validated_key
from services.core.storage.signing import sign_path
from services.core.storage.store import ObjectStore

LIFETIME = timedelta(hours=1)
KEPT = timedelta(hours=24)
"""After its expiry: so long can an upload be finalized again, to the same answer."""
BATCH = 100
INTERVAL = 60.0

INSERT = """
insert into event_log.uploads
    (upload_id, organization_id, project_id, kind, mime_type, size_bytes, sha256, filename,
     expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

FIND = """
select * from event_log.uploads
where upload_id = $1 and organization_id = $2 and project_id = $3
"""

FINISH = "update event_log.uploads set asset_id = $2 where upload_id = $1 and asset_id is null"

FIND_OLD = """
select * from event_log.uploads where expires_at < $1 order by expires_at limit $2
"""

FORGET = "delete from event_log.uploads where upload_id = any($1::text[])"


@dataclass(frozen=True, slots=True)
class Upload:
    upload_id: str
    organization_id: str
    project_id: str
    kind: MediaKind
    mime_type: str
    size_bytes: int | None
    sha256: str | None
    filename: str | None
    expires_at: datetime
    asset_id: str | None = None

    @property
    def object_key(self) -> str:
        """Where the bytes wait; nobody may read them there."""
        return validated_key(f"uploads/{self.organization_id}/{self.project_id}/{self.upload_id}")


def organization_of(object_key: str) -> str:
    return object_key.split("/")[1]


async def url_of(api: Api, upload: Upload) -> str:
    """Where the bytes are to be PUT: the store itself, or the api where it has no URLs."""
    lifetime = upload.expires_at - api.clock()
    by_store = await api.store.put_url(upload.object_key, lifetime)
    if by_store is not None:
        return by_store
    path = f"/media/{upload.object_key}"
    return api.urls.base_url + sign_path(path, signing_key(api), int(upload.expires_at.timestamp()))


def signing_key(api: Api) -> bytes:
    """Another than that of reading: neither signature is good for the other."""
    return hmac.digest(api.media_signing_key, b"upload", "sha256")


async def insert_upload(connection: Connection, upload: Upload) -> None:
    await connection.execute(
        INSERT,
        upload.upload_id,
        upload.organization_id,
        upload.project_id,
        upload.kind,
        upload.mime_type,
        upload.size_bytes,
        upload.sha256,
        upload.filename,
        upload.expires_at,
    )


async def find_upload(
    connection: Connection, organization_id: str, project_id: str, upload_id: str
) -> Upload | None:
    row = await connection.fetchrow(FIND, upload_id, organization_id, project_id)
    return _upload(row) if row else None


async def finish_upload(connection: Connection, upload_id: str, asset_id: str) -> None:
    await connection.execute(FINISH, upload_id, asset_id)


async def forget_old_uploads(pool: Pool, store: ObjectStore, clock: Clock) -> None:
    """Runs for ever; several processes may run it at once."""
    while True:
        with suppress(DependencyUnavailable, StorageUnavailable):
            await forget_uploads(pool, store, clock() - KEPT)
        await asyncio.sleep(INTERVAL)


async def forget_uploads(pool: Pool, store: ObjectStore, expired_before: datetime) -> None:
    """The oldest of those; bytes that nobody finalized first, then the rows."""
    async with acquire(pool) as connection:
        old = [_upload(row) for row in await connection.fetch(FIND_OLD, expired_before, BATCH)]
    for upload in old:
        await store.delete(upload.object_key)
    async with acquire(pool) as connection:
        await connection.execute(FORGET, [upload.upload_id for upload in old])


def _upload(row: asyncpg.Record) -> Upload:
    return Upload(
        upload_id=row["upload_id"],
        organization_id=str(row["organization_id"]),
        project_id=str(row["project_id"]),
        kind=cast(MediaKind, row["kind"]),
        mime_type=row["mime_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        filename=row["filename"],
        expires_at=row["expires_at"],
        asset_id=row["asset_id"],
    )
