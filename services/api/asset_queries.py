"""What the media routes read: one short query each."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from schemas.events import MediaAssetUploaded
from services.api.pagination import PageRequest, Position
from services.core.postgres import Connection

FIND_ASSET = """
select project_id, created_at, state from read_model.media_assets
where organization_id = $1 and asset_id = $2
"""

FIND_UPLOADED = """
select project_id, created_at, state from read_model.media_assets
where organization_id = $1 and project_id = $2 and state ->> 'sha256' = $3
  and influencer_id is null
order by created_at, asset_id
limit 1
"""

# Of each kind the newest, by the one index: equally fast for all kinds and for a rare one.
LIST_ASSETS = """
select found.* from unnest($3::text[]) as wanted(kind)
cross join lateral (
    select project_id, created_at, asset_id, state from read_model.media_assets
    where organization_id = $1 and project_id = $2 and state ->> 'kind' = wanted.kind
      and ($4::timestamptz is null or (created_at, asset_id) < ($4, $5))
    order by created_at desc, asset_id desc
    limit $6
) as found
order by created_at desc, asset_id desc
limit $6
"""

FIND_STREAM_OF_ASSET = """
select state ->> 'projectId' as project_id, state -> 'asset' as state from event_log.streams
where organization_id = $1 and stream_id = $2
"""


class AssetRecord(NamedTuple):
    project_id: str
    asset: MediaAssetUploaded


async def find_asset(
    connection: Connection, organization_id: str, asset_id: str
) -> AssetRecord | None:
    """An asset, uploaded or rendered."""
    return _record(await connection.fetchrow(FIND_ASSET, organization_id, asset_id))


async def find_uploaded(
    connection: Connection, organization_id: str, project_id: str, sha256: str
) -> AssetRecord | None:
    """The project's upload with these bytes."""
    return _record(await connection.fetchrow(FIND_UPLOADED, organization_id, project_id, sha256))


async def find_recorded(
    connection: Connection, organization_id: str, asset_id: str
) -> AssetRecord | None:
    """An uploaded asset, as the write side knows it: there even while read models are rebuilt."""
    return _record(await connection.fetchrow(FIND_STREAM_OF_ASSET, organization_id, asset_id))


async def list_assets(
    connection: Connection,
    organization_id: str,
    project_id: str,
    kinds: Sequence[str],
    page: PageRequest,
) -> list[asyncpg.Record]:
    """Up to one row more than the page holds."""
    after = page.after
    return await connection.fetch(
        LIST_ASSETS,
        organization_id,
        project_id,
        list(kinds),
        after.created_at if after else None,
        after.identifier if after else None,
        page.limit + 1,
    )


def asset_of(row: asyncpg.Record) -> AssetRecord:
    return AssetRecord(str(row["project_id"]), MediaAssetUploaded.model_validate_json(row["state"]))


def position_of_asset(row: asyncpg.Record) -> Position:
    return Position(row["created_at"], row["asset_id"])


def _record(row: asyncpg.Record | None) -> AssetRecord | None:
    return asset_of(row) if row else None
