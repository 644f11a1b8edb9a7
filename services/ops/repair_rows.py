"""The rows of one stream, as they are and as they are to be."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import orjson

from services.core.postgres import Connection
from services.core.readmodel.records import StreamId
from services.ops.verification.compare import (
    ASSETS,
    EVENTS,
    INFLUENCERS,
    JOBS,
    QUARANTINE,
    STREAMS,
)
from services.ops.verification.differences import Row
from services.ops.verification.snapshot import (
    ASSET_COLUMNS,
    JOB_COLUMNS,
    READ_CONTENT_JOBS,
    READ_INFLUENCERS,
    READ_RENDER_JOBS,
    READ_STREAMS,
    read_rows,
    read_stream_events,
)

Rows = Mapping[str, Row]
"""By their keys as `verify` names them."""

READ_JOBS = f"select {JOB_COLUMNS} from read_model.jobs where job_id = any($1::text[])"
READ_ASSETS = f"""
select {ASSET_COLUMNS} from read_model.media_assets
where (organization_id, asset_id) in (select * from unnest($1::uuid[], $2::text[]))
"""
READ_QUARANTINE = """
select topic, partition, record_offset, stream_key, reason, headers::text, value, repeated
from read_model.quarantine where (topic, stream_key) = ($1, $2)
"""


KEYS = {
    STREAMS: ("organization_id", "stream_id"),
    INFLUENCERS: ("organization_id", "influencer_id"),
    JOBS: ("job_id",),
    EVENTS: ("organization_id", "stream_id", "sequence"),
    ASSETS: ("organization_id", "asset_id"),
    QUARANTINE: ("topic", "partition", "record_offset"),
}
"""Primary keys, in the order in which everybody locks rows of these tables."""


async def rows_of_stream(
    connection: Connection, key: str, stream: StreamId, expected: Mapping[str, Rows]
) -> dict[str, dict[str, Row]]:
    """What the tables hold of the stream, and under the keys of the rows that are `expected`.

    Media assets are looked for by the expected keys alone: no column names their stream.
    """
    after = f"{key}\x01"
    found: dict[str, dict[str, Row]] = {model: {} for model in KEYS}
    for model, query in ((STREAMS, READ_STREAMS), (INFLUENCERS, READ_INFLUENCERS)):
        async for row in read_rows(connection, query, key, after):
            found[model][row.pop("key")] = row
    for query in (READ_RENDER_JOBS, READ_CONTENT_JOBS):
        async for row in read_rows(connection, query, key, after):
            found[JOBS][row["job_id"]] = {n: value for n, value in row.items() if n != "key"}
    for job in await connection.fetch(READ_JOBS, list(expected.get(JOBS, ()))):
        found[JOBS][job["job_id"]] = _parsed(job)
    for sequence, event in (await read_stream_events(connection, key)).items():
        found[EVENTS][f"{key}/{sequence}"] = {n: v for n, v in event.items() if n != "digest"}
    owners = [row["organization_id"] for row in expected.get(ASSETS, {}).values()]
    assets = [row["asset_id"] for row in expected.get(ASSETS, {}).values()]
    for asset in await connection.fetch(READ_ASSETS, owners, assets):
        found[ASSETS][f"{asset['organization_id']}/{asset['asset_id']}"] = _parsed(asset)
    for parked in await connection.fetch(READ_QUARANTINE, *stream):
        found[QUARANTINE][quarantine_key(dict(parked))] = dict(parked)
    return found


def quarantine_key(row: Row) -> str:
    return f"{row['topic']}/{row['partition']}/{row['record_offset']}"


def comparable(model: str, row: Row | None) -> Row | None:
    """As JSON can spell it; of a quarantined record without the reason, which a retry rewords."""
    if model != QUARANTINE or row is None:
        return row
    value = None if row["value"] is None else row["value"].decode("latin-1")
    return {n: column for n, column in row.items() if n != "reason"} | {"value": value}


async def write_row(connection: Connection, model: str, row: Row) -> None:
    """Writes the whole row over what is there."""
    names, key = [*row], KEYS[model]
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    await connection.execute(
        f"insert into {model} ({', '.join(names)}) values ({places})"
        f" on conflict ({', '.join(key)}) do update set {changes}",
        *(_written(name, row[name]) for name in names),
    )


async def remove_row(connection: Connection, model: str, row: Row) -> None:
    key = KEYS[model]
    places = " and ".join(f"{name} = ${place}" for place, name in enumerate(key, start=1))
    await connection.execute(f"delete from {model} where {places}", *(row[name] for name in key))


def _written(name: str, value: Any) -> Any:
    return orjson.dumps(value).decode() if name == "state" else value


def _parsed(row: asyncpg.Record) -> Row:
    return {**dict(row), "state": orjson.loads(row["state"])}
