"""The bare ceilings: aiohttp and asyncpg, one request, one statement; nothing else is done.

`python -m tests.bench.ceiling DATABASE_URL PORT`
"""

import os
import sys

import asyncpg
import uvloop
from aiohttp import web

TABLES = """
drop table if exists ceiling_a, ceiling_b, ceiling_c;
create table ceiling_a (id uuid primary key default gen_random_uuid(), body jsonb);
create table ceiling_b (id uuid primary key default gen_random_uuid(), body jsonb);
create table ceiling_c (id bigint generated always as identity primary key, body bytea);
"""
INSERT_THREE = """
with a as (insert into ceiling_a (body) values ($1::jsonb)),
     b as (insert into ceiling_b (body) values ($1::jsonb))
insert into ceiling_c (body) values ($2)
"""
READ_ONE = """
select state from read_model.influencers
where organization_id = current_setting('bench.organization')::uuid and influencer_id = $1
"""
POOL: web.AppKey["asyncpg.Pool[asyncpg.Record]"] = web.AppKey("pool", asyncpg.Pool)


async def create(request: web.Request) -> web.Response:
    body = await request.read()
    await request.app[POOL].execute(INSERT_THREE, body.decode(), body)
    return web.Response(body=body, status=202, content_type="application/json")


async def read(request: web.Request) -> web.Response:
    row = await request.app[POOL].fetchrow(READ_ONE, request.match_info["id"])
    assert row is not None
    return web.Response(body=row["state"].encode(), content_type="application/json")


def application(database_url: str) -> web.Application:
    async def connected(app: web.Application) -> None:
        app[POOL] = await asyncpg.create_pool(
            database_url,
            min_size=10,
            max_size=10,
            server_settings={"bench.organization": os.environ["BENCH_ORGANIZATION"]},
        )
        await app[POOL].execute(TABLES)

    app = web.Application()
    app.on_startup.append(connected)
    app.router.add_post("/create", create)
    app.router.add_get("/read/{id}", read)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(
        application(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=None,
        print=lambda _: None,
    )
