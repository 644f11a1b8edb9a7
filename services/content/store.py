"""The service's own tables; always in the transaction that also moves the positions."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from services.content.waiting import KnownInfluencer, Request
from services.core.postgres import Connection
from services.core.readmodel.rows import columns, state_json

# By the locks' own order, so that nobody waits for each other.
LOCK = """
select pg_advisory_xact_lock(key) from (
    select distinct hashtextextended('content of ' || organization_id || '/' || influencer_id, 0)
    from unnest($1::uuid[], $2::text[]) as wanted(organization_id, influencer_id)
    order by 1
) as keys(key)
"""
FIND_INFLUENCERS = """
select i.organization_id, i.influencer_id, i.state
from unnest($1::uuid[], $2::text[]) as wanted(organization_id, influencer_id)
join content.influencers i using (organization_id, influencer_id)
"""
FIND_WAITING = """
select r.request
from unnest($1::uuid[], $2::text[]) as wanted(organization_id, influencer_id)
join content.requests r using (organization_id, influencer_id)
where not r.is_released
"""
FIND_RIPE = """
select distinct i.organization_id, i.influencer_id
from content.requests r join content.influencers i using (organization_id, influencer_id)
where not r.is_released
  and i.state::json -> 'stream' -> 'influencer' ->> 'status' in ('ready', 'failed', 'deleted')
  and i.sequence >= (r.request::json ->> 'influencerSequence')::bigint
limit $1
"""
SAVE_INFLUENCERS = """
insert into content.influencers (organization_id, influencer_id, sequence, state)
select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[])
on conflict (organization_id, influencer_id)
do update set sequence = excluded.sequence, state = excluded.state
where influencers.sequence < excluded.sequence
"""
ADD_REQUEST = """
insert into content.requests (organization_id, content_id, influencer_id, request)
values ($1, $2, $3, $4) on conflict do nothing returning true
"""
RELEASE = """
update content.requests set is_released = true where organization_id = $1 and content_id = $2
"""
COUNT_START = """
update content.requests set starts = starts + 1
where organization_id = $1 and content_id = $2
returning starts
"""
FORGET_REQUEST = "delete from content.requests where organization_id = $1 and content_id = $2"


class InfluencerKey(NamedTuple):
    organization_id: str
    influencer_id: str


async def lock_influencers(connection: Connection, keys: Collection[InfluencerKey]) -> None:
    """Keeps everybody else from judging by these influencers until the transaction ends.

    An influencer and the requests for it come from different partitions, so two members may handle
    them at the same time. Without the lock neither would see what the other is about to commit.
    """
    if keys:
        await connection.execute(LOCK, *columns(keys, 2))


async def find_influencers(
    connection: Connection, keys: Collection[InfluencerKey]
) -> dict[InfluencerKey, KnownInfluencer]:
    """Those of `keys` that an event has told of."""
    rows = await connection.fetch(FIND_INFLUENCERS, *columns(keys, 2))
    return {
        InfluencerKey(str(row["organization_id"]), row["influencer_id"]): (
            KnownInfluencer.model_validate_json(row["state"])
        )
        for row in rows
    }


async def find_waiting(
    connection: Connection, keys: Collection[InfluencerKey]
) -> dict[InfluencerKey, dict[str, Request]]:
    """The requests that wait for these influencers, by content id."""
    waiting: dict[InfluencerKey, dict[str, Request]] = {}
    for row in await connection.fetch(FIND_WAITING, *columns(keys, 2)):
        request = Request.model_validate_json(row["request"])
        waiting.setdefault(key_of(request), {})[request.content_id] = request
    return waiting


async def find_ripe(connection: Connection, limit: int) -> list[InfluencerKey]:
    """Up to `limit` influencers that are ready, failed or deleted while requests wait for them."""
    rows = await connection.fetch(FIND_RIPE, limit)
    return [InfluencerKey(str(row["organization_id"]), row["influencer_id"]) for row in rows]


async def save_influencers(
    connection: Connection, known: Mapping[InfluencerKey, KnownInfluencer]
) -> None:
    rows = [(*key, one.sequence, state_json(one)) for key, one in sorted(known.items())]
    await connection.execute(SAVE_INFLUENCERS, *columns(rows, 4))


async def add_request(connection: Connection, request: Request) -> bool:
    """Whether it is new."""
    row = (request.organization_id, request.content_id, request.influencer_id, state_json(request))
    return await connection.fetchval(ADD_REQUEST, *row) is not None


async def release(connection: Connection, requests: Iterable[Request]) -> None:
    rows = [(request.organization_id, request.content_id) for request in requests]
    await connection.executemany(RELEASE, rows)


async def count_start(connection: Connection, organization_id: str, content_id: str) -> int:
    """How often the picture was begun, this time included; 0 when nobody wants it any more."""
    return await connection.fetchval(COUNT_START, organization_id, content_id) or 0


async def forget_request(connection: Connection, organization_id: str, content_id: str) -> None:
    await connection.execute(FORGET_REQUEST, organization_id, content_id)


def key_of(request: Request) -> InfluencerKey:
    return InfluencerKey(request.organization_id, request.influencer_id)
