"""`influencerctl media sweep`: what no event names goes, whatever happens beside it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from schemas.ids import Prefix, UlidSource
from services.core.postgres import Pool, open_pool
from services.core.storage.store import ObjectInfo, ObjectStore, open_object_store
from services.core.storage.sweep_safe import SweepSafeStore
from services.ops import media_sweep
from services.ops.media_sweep import sweep
from tests.integration.ops.installation import Installation, execute
from tests.waiting import eventually

ORGANIZATION, PROJECT = str(uuid4()), str(uuid4())
IDS = UlidSource()
WAITING_EVENT = """
insert into event_log.outbox (event_id, slot, topic, key, headers, value)
values ('evt_x', 0, 'x', 'x', '{}', convert_to($1, 'UTF8'))
"""
STREAM = """
insert into event_log.streams (organization_id, stream_id, sequence, state)
values (gen_random_uuid(), 'inf_x', 1, jsonb_build_object('a', $1::text))
"""
ASSET = """
insert into read_model.media_assets
    (organization_id, asset_id, project_id, created_at, state)
values (gen_random_uuid(), 'ast_x', gen_random_uuid(), now(), jsonb_build_object('a', $1::text))
"""
UPLOAD = """
insert into event_log.uploads
    (upload_id, organization_id, project_id, kind, mime_type, expires_at)
values ($1, gen_random_uuid(), gen_random_uuid(), 'image', 'image/png', now() - interval '23 hours')
"""


def key_of(digest: str, extension: str = "png") -> str:
    return f"{ORGANIZATION}/{PROJECT}/{digest}.{extension}"


def key_of_bytes(content: bytes) -> str:
    return key_of(sha256(content).hexdigest())


class Store:
    """A folder whose objects are as old as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = open_object_store(folder.as_uri())

    async def put(self, key: str, hours: float = 48) -> str:
        await self.objects.put(key, key.encode(), "image/png")
        self.age(key, hours)
        return key

    def age(self, key: str, hours: float) -> None:
        then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(self.folder / key, (then, then))

    async def keys(self) -> set[str]:
        return {found.key async for found in self.objects.list()}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    folder = tmp_path / "media"
    monkeypatch.setenv("MEDIA_STORE_URL", folder.as_uri())
    return Store(folder)


@pytest.fixture
async def database(damageable: Installation) -> AsyncIterator[Pool]:
    opened = await open_pool(damageable.database_url, size=4, application="test")
    yield opened
    opened.terminate()


async def test_what_anything_names_stays_and_the_rest_goes(
    damageable: Installation, store: Store
) -> None:
    """The pictures of the history are on the log alone: the tables forget them first."""
    url = damageable.database_url
    await execute(url, "truncate event_log.streams, read_model.media_assets")
    named = [await store.put(key_of(f"{0:064x}"))]
    for number, statement in enumerate((WAITING_EVENT, STREAM, ASSET), start=10):
        digest = f"{number:064x}"
        await execute(url, statement, f'{{"thumbnailUrl": "http://x/media/{key_of(digest)}"}}')
        named.append(await store.put(key_of(digest, "webp")))
    upload_id = IDS.new(Prefix.UPLOAD)
    await execute(url, UPLOAD, upload_id)
    named.append(await store.put(f"uploads/{ORGANIZATION}/{PROJECT}/{upload_id}"))
    recent = await store.put(key_of(f"{99:064x}"), hours=23)
    foreign = await store.put("backups/of/somebody.png")
    unnamed = [
        await store.put(key_of_bytes(b"rendered, and the worker was killed")),
        await store.put(key_of_bytes(b"its thumbnail").replace(".png", ".webp")),
        await store.put(f"uploads/{ORGANIZATION}/{PROJECT}/{IDS.new(Prefix.UPLOAD)}"),
    ]
    everything = {*named, recent, foreign, *unnamed}

    dry = await damageable.ctl("media", "sweep", "--dry-run", "--json")
    assert dry.status == 0, dry
    assert {one["key"] for one in dry.json["unnamed"]} == set(unnamed)
    assert (dry.json["named"], dry.json["recent"], dry.json["foreign"]) == (len(named), 1, 1)
    assert (await damageable.ctl("media", "sweep", typed="n\n")).status == 1
    assert await store.keys() == everything, "nobody said yes"
    later = await damageable.ctl("media", "sweep", "--older-than", "3d", "--yes")
    assert "0 objects" in later.out
    assert await store.keys() == everything

    swept = await damageable.ctl("media", "sweep", "--yes")
    assert (swept.status, "deleted 3 objects" in swept.out) == (0, True), swept
    assert await store.keys() == everything - set(unnamed)
    again = await damageable.ctl("media", "sweep", "--yes", "--json")
    assert (again.status, again.json["deleted"], again.json["unnamed"]) == (0, 0, [])


async def test_a_killed_sweep_is_simply_called_again(
    damageable: Installation, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(key_of(f"{0:064x}"))
    doomed = {await store.put(key_of_bytes(bytes([number]))) for number in range(170)}
    environment = {"MEDIA_STORE_URL": store.folder.as_uri()}
    for place in ("sweep.condemned:2", "sweep.deleted:2"):
        killed = await damageable.ctl_process(
            "media", "sweep", "--yes", fail_at=place, **environment
        )
        assert killed.status == -signal.SIGKILL, killed
    left = await store.keys() & doomed
    assert 0 < len(left) < 170

    swept = await damageable.ctl("media", "sweep", "--yes", "--json")

    assert (swept.status, swept.json["deleted"]) == (0, len(left)), swept
    assert await store.keys() == {key_of(f"{0:064x}")}


async def test_what_could_not_be_meant_deletes_nothing(
    damageable: Installation, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(key_of_bytes(b"another installation's"))
    answer = await damageable.ctl("media", "sweep", "--yes")
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert "not one is named" in answer.err
    assert (await damageable.ctl("media", "sweep", "--older-than", "59m")).status == 2
    monkeypatch.delenv("MEDIA_STORE_URL")
    assert (await damageable.ctl("media", "sweep")).status == 2
    assert len(await store.keys()) == 1


class Interrupted:
    """The store as the sweep sees it: what is `meanwhile` happens right before a deletion."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def head(self, key: str) -> ObjectInfo:
        return await self.store.head(key)

    async def delete(self, key: str) -> None:
        self.reached.set()
        await self.go_on.wait()
        await self.store.delete(key)


async def swept(damageable: Installation, seen: object, store: Store, key: str) -> int:
    """How many were deleted, of this one."""
    before = datetime.now(UTC) - timedelta(hours=24)
    connection = await asyncpg.connect(damageable.database_url)
    try:
        await connection.execute(media_sweep.CREATE_NAMED)
        unnamed = [await store.objects.head(key)]
        done = await sweep(connection, seen, unnamed, before)  # type: ignore[arg-type]
    finally:
        await connection.close()
    return done.deleted


async def test_what_is_put_while_it_is_being_deleted_is_there_afterwards(
    damageable: Installation, store: Store, database: Pool
) -> None:
    """The worst moment: the sweep has seen that it is old, and deletes it after the new put."""
    key = await store.put(key_of_bytes(b"the same again"))
    seen = Interrupted(store.objects)
    sweeping = asyncio.create_task(swept(damageable, seen, store, key))
    await asyncio.wait_for(seen.reached.wait(), 10)

    put = asyncio.create_task(
        SweepSafeStore(store.objects, database).put(key, b"the same again", "image/png")
    )
    await eventually("the put waits for the sweep", lambda: _somebody_waits(database))
    assert not put.done()
    seen.go_on.set()

    assert await asyncio.wait_for(sweeping, 10) == 1
    await asyncio.wait_for(put, 10)
    assert await store.objects.get(key) == b"the same again"
    assert await database.fetchval("select count(*) from event_log.condemned_objects") == 0


async def _somebody_waits(database: Pool) -> bool:
    return bool(await database.fetchval("select exists (select from pg_locks where not granted)"))


async def test_what_was_put_before_it_looks_is_spared(
    damageable: Installation, store: Store, database: Pool
) -> None:
    key = await store.put(key_of_bytes(b"the same again"))
    seen = Interrupted(store.objects)
    seen.go_on.set()
    head = seen.head

    async def put_and_look(key: str) -> ObjectInfo:
        await store.objects.put(key, b"the same again", "image/png")
        return await head(key)

    seen.head = put_and_look  # type: ignore[method-assign]
    assert await swept(damageable, seen, store, key) == 0
    assert await store.objects.exists(key)

    # Whoever has put it hears of the sweep all the same, and is done after one put more.
    await SweepSafeStore(store.objects, database).put(key, b"the same again", "image/png")
    assert await database.fetchval("select count(*) from event_log.condemned_objects") == 0


async def test_what_is_condemned_again_is_put_again(
    damageable: Installation, store: Store, database: Pool
) -> None:
    """By a second sweep, between the look of whoever puts and the pardon."""
    key = key_of_bytes(b"the same again")
    puts = 0

    class Watched:
        async def put(self, key: str, content: bytes, content_type: str) -> None:
            nonlocal puts
            puts += 1
            await store.objects.put(key, content, content_type)
            if puts <= 2:
                await database.execute(media_sweep.CONDEMN, [key])

    await SweepSafeStore(Watched(), database).put(key, b"the same again", "image/png")  # type: ignore[arg-type]
    assert puts == 3


async def test_what_waits_in_the_outbox_by_now_is_spared(
    damageable: Installation, store: Store
) -> None:
    key = await store.put(key_of_bytes(b"named since"))
    await execute(damageable.database_url, WAITING_EVENT, f'{{"url": "http://x/media/{key}"}}')
    assert await swept(damageable, store.objects, store, key) == 0
