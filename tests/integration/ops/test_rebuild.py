"""`influencerctl rebuild` on an installation at rest: what it finds, swaps, keeps and puts back."""

import signal
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import orjson
import pytest

from services.core.readmodel.rebuild import merging, rebuild, shadow, swapping
from services.core.readmodel.schema import LIVE, NEXT, PREVIOUS
from tests.integration.ops.history import History
from tests.integration.ops.installation import Installation, execute
from tests.waiting import eventually

HEARD = "select max(heard_at) from control.rebuilds"


async def fetch(installation: Installation, query: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(installation.database_url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


async def schemas_of(installation: Installation) -> set[str]:
    rows = await fetch(
        installation, "select nspname from pg_namespace where nspname like 'read_model%'"
    )
    return {name for (name,) in rows}


async def oids_of(installation: Installation) -> Sequence[Any]:
    return await fetch(installation, "select 'read_model.events'::regclass::oid")


async def test_a_dry_run_finds_equal_what_the_projector_made(damageable: Installation) -> None:
    answer = await damageable.ctl("rebuild", "--workers", "2", "--dry-run", "--json")
    assert answer.status == 0, answer
    assert answer.json["outcome"] == "equal"
    assert answer.json["differenceCount"] == 0
    assert await schemas_of(damageable) == {LIVE}


async def test_a_rebuild_takes_the_place_of_the_live_ones_and_can_be_rolled_back(
    damageable: Installation, history: History
) -> None:
    before = await oids_of(damageable)
    answer = await damageable.ctl("rebuild", "--workers", "1", "--yes", "--json")
    assert answer.status == 0, answer
    assert answer.json["outcome"] == "swapped"
    assert answer.json["events"] == len(history.events)
    after = await oids_of(damageable)
    assert after != before
    assert await schemas_of(damageable) == {LIVE, PREVIOUS}

    rolled_back = await damageable.ctl("rebuild", "rollback", "--yes", "--json")
    assert rolled_back.status == 0, rolled_back
    assert await oids_of(damageable) == before
    assert await schemas_of(damageable) == {LIVE, PREVIOUS}
    checked = await damageable.ctl("rebuild", "--dry-run")
    assert checked.status == 0, checked


async def test_what_differs_is_named_and_nothing_is_swapped_unless_accepted(
    damageable: Installation, history: History
) -> None:
    key = history.completed.influencer_id
    for damage, *arguments in (
        (
            "update read_model.influencers set status = 'draft',"
            " state = jsonb_set(state, '{profile,name}', '\"Eve\"') where influencer_id = $1",
            key,
        ),
        ("delete from read_model.events where stream_id = $1 and sequence = 3", key),
        ("delete from read_model.jobs where influencer_id = $1", history.failed.influencer_id),
        (
            "update read_model.influencers set sequence = sequence + 5 where influencer_id = $1",
            history.canceled.influencer_id,
        ),
    ):
        await execute(damageable.database_url, damage, *arguments)
    answer = await damageable.ctl("rebuild", "--yes", "--json")
    assert answer.status == 1, answer
    found = {(d["model"], d["what"]): d for d in answer.json["differences"]}
    assert found.keys() == {
        ("influencers", "differs"),
        ("events", "missing"),
        ("jobs", "missing"),
        ("influencers", "ahead of the log"),
    }
    fields = {field["name"]: field for field in found["influencers", "differs"]["fields"]}
    assert fields.keys() == {"status", "state.profile.name"}
    assert fields["state.profile.name"] == {
        "name": "state.profile.name",
        "live": "Eve",
        "log": "Ava",
    }
    assert key in found["events", "missing"]["key"]
    assert await schemas_of(damageable) >= {LIVE, NEXT}

    refused = await damageable.ctl(
        "rebuild", "--accept-differences", "--json", "--limit", "2", typed="y\nn\n"
    )
    told = orjson.loads(refused.out[refused.out.index("{") :])  # behind what was typed
    assert (refused.status, told["outcome"], len(told["differences"])) == (1, "different", 2)
    listed, _, question = refused.err.partition("… and 2 more; --limit names more")
    assert "events" in listed
    assert "Swap although they differ?" in question
    accepted = await damageable.ctl("rebuild", "--accept-differences", "--yes")
    assert accepted.status == 0, accepted
    assert "state.profile.name: live 'Eve', log 'Ava'" in accepted.out
    assert (await damageable.ctl("rebuild", "--dry-run")).status == 0


async def test_copying_the_other_models_may_take_longer_than_a_heartbeat(
    damageable: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = merging.require_empty_quarantine

    async def look_and_let_a_heart_beat(
        connection: "asyncpg.Connection[asyncpg.Record]", *schemas: str
    ) -> None:
        await looked(connection, *schemas)
        if connection.is_in_transaction():  # which has its snapshot now
            before = await fetch(damageable, HEARD)

            async def has_beaten() -> bool:
                return bool(await fetch(damageable, HEARD) != before)

            await eventually("a heartbeat", has_beaten)

    monkeypatch.setattr(merging, "require_empty_quarantine", look_and_let_a_heart_beat)
    answer = await damageable.ctl("rebuild", "--only", "influencers", "--yes")
    assert answer.status == 0, answer


@pytest.mark.parametrize("model", ["influencers", "jobs", "events", "media_assets"])
async def test_one_model_alone_is_rebuilt_and_the_others_stay_as_they_are(
    damageable: Installation, history: History, model: str
) -> None:
    for table in ("influencers", "jobs"):
        await execute(damageable.database_url, f"update read_model.{table} set status = 'damaged'")
    await execute(damageable.database_url, "update read_model.events set source = 'damaged'")
    await execute(damageable.database_url, "delete from read_model.media_assets")
    answer = await damageable.ctl("rebuild", "--only", model, "--accept-differences", "--yes")
    assert answer.status == 0, answer
    remaining = await damageable.ctl("rebuild", "--dry-run", "--json")
    assert {d["model"] for d in remaining.json["differences"]} == {
        "influencers",
        "jobs",
        "events",
        "media_assets",
    } - {model}


async def test_the_new_tables_are_like_the_old_ones_in_everything(
    damageable: Installation,
) -> None:
    url = damageable.database_url
    await execute(url, "comment on table read_model.jobs is 'it''s jobs'")
    await execute(url, "grant select on read_model.jobs to public")
    await execute(url, "grant usage on schema read_model to public")
    assert (await damageable.ctl("grants", "--yes")).status == 0
    connection = await asyncpg.connect(url)
    try:
        before = await shadow.describe(connection, LIVE)
        assert (await damageable.ctl("rebuild", "--yes")).status == 0
        assert await shadow.describe(connection, LIVE) == before
        assert any("it's jobs" in thing for thing in before)
        assert any(thing.startswith("policy jobs own_organization") for thing in before)
        assert any("influencer_projector=ar" in thing for thing in before)
    finally:
        await connection.close()


async def test_what_a_rebuild_cannot_carry_along_is_refused(damageable: Installation) -> None:
    await execute(
        damageable.database_url, "create view read_model.names as select 1 from read_model.jobs"
    )
    answer = await damageable.ctl("rebuild", "--yes")
    assert answer.status == 1
    assert "can't carry along: " in answer.err


async def test_a_worker_that_is_killed_ends_the_rebuild_and_the_next_one_goes_on(
    damageable: Installation, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "IN_PROCESSES_FROM", 1)  # nothing is folded in this process
    with monkeypatch.context() as environment:
        environment.setenv("FAIL_AT", "rebuild.filled")
        killed = await damageable.ctl("rebuild", "--yes", "--workers", "2")
    assert killed.status == 1, killed
    assert f"a worker died: status {-signal.SIGKILL}" in killed.err
    answer = await damageable.ctl("rebuild", "--yes", "--workers", "2", "--json")
    assert (answer.status, answer.json["outcome"]) == (0, "swapped"), answer
    assert answer.json["events"] < len(history.events), "what was folded is folded once"


async def test_a_swap_that_fails_leaves_the_previous_ones(
    damageable: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await damageable.ctl("rebuild", "--yes")).status == 0

    async def never(*_: object) -> None:
        raise swapping.SwapImpossible("the live tables were busy")

    monkeypatch.setattr(swapping, "swap", never)
    assert (await damageable.ctl("rebuild", "--yes")).status == 1
    monkeypatch.undo()
    assert PREVIOUS in await schemas_of(damageable)
    assert (await damageable.ctl("rebuild", "--yes")).status == 0
    assert await schemas_of(damageable) == {LIVE, PREVIOUS}


async def test_status_abort_and_drop_previous(damageable: Installation) -> None:
    assert "no rebuild yet" in (await damageable.ctl("rebuild", "status")).out
    refused = await damageable.ctl("rebuild", "rollback", "--yes")
    assert refused.status == 1
    assert "no previous read models" in refused.err
    assert (await damageable.ctl("rebuild", "--yes")).status == 0
    told = (await damageable.ctl("rebuild", "status", "--json")).json
    assert (told["last"]["phase"], told["last"]["state"]) == ("swapped", "ended")
    assert told["canRollBack"]
    would = await damageable.ctl("rebuild", "rollback", "--dry-run", "--json")
    assert would.json["dryRun"], would
    for arguments in (["--dry-run"], ["--yes"]):
        answer = await damageable.ctl("rebuild", "drop-previous", *arguments, "--json")
        assert answer.json["dropped"], answer
    assert await schemas_of(damageable) == {LIVE}

    await execute(damageable.database_url, "delete from read_model.jobs")
    assert (await damageable.ctl("rebuild", "--yes")).status == 1
    told = (await damageable.ctl("rebuild", "status", "--json")).json
    assert (told["last"]["phase"], told["last"]["state"]) == ("different", "compared")
    assert told["last"]["differences"] > 0
    assert (await damageable.ctl("rebuild", "status")).status == 1
    part = (await damageable.ctl("status", "--json")).json["parts"]["rebuild"]
    assert part["state"] == "wrong"
    assert "rows differ; it is kept until" in part["says"]
    another = await damageable.ctl("rebuild", "--only", "jobs", "--yes")
    assert another.status == 2
    assert "rebuild abort" in another.err
    for arguments in (["--dry-run"], ["--yes"]):
        answer = await damageable.ctl("rebuild", "abort", *arguments, "--json")
        assert answer.json["aborted"]["phase"] == "different", answer
    assert await schemas_of(damageable) == {LIVE}


async def test_what_an_older_rebuild_has_built_is_not_gone_on_with(
    damageable: Installation,
) -> None:
    url = damageable.database_url
    killed = await damageable.ctl_process("rebuild", "--yes", fail_at="rebuild.compare")
    assert killed.status == -signal.SIGKILL
    await execute(url, "update read_model_next.jobs set status = 'stale'")
    await execute(url, "update control.rebuilds set fingerprint = 'of other code'")
    killed = await damageable.ctl_process("rebuild", "--yes", fail_at="rebuild.start")
    assert killed.status == -signal.SIGKILL
    answer = await damageable.ctl("rebuild", "--yes", "--json")
    assert (answer.status, answer.json["outcome"]) == (0, "swapped"), answer


async def test_a_dry_run_leaves_what_an_interrupted_rebuild_has_built(
    damageable: Installation,
) -> None:
    killed = await damageable.ctl_process("rebuild", "--yes", fail_at="rebuild.compare")
    assert killed.status == -signal.SIGKILL
    dry = await damageable.ctl("rebuild", "--dry-run", "--json")
    assert (dry.status, dry.json["outcome"], dry.json["events"]) == (0, "equal", 0)
    assert await schemas_of(damageable) == {LIVE, NEXT}
    answer = await damageable.ctl("rebuild", "--yes", "--json")
    assert (answer.json["outcome"], answer.json["events"]) == ("swapped", 0), answer


async def test_a_role_that_may_not_create_schemas_is_told_so(damageable: Installation) -> None:
    url, role = damageable.database_url, f"reader_{uuid4().hex[:8]}"
    await execute(url, f"create role {role} login password 'x'")
    for schema in ("read_model", "control", "event_log"):
        await execute(url, f"grant usage on schema {schema} to {role}")
        await execute(url, f"grant all on all tables in schema {schema} to {role}")
        await execute(url, f"grant all on all sequences in schema {schema} to {role}")
    parts = urlsplit(url)
    place = f"{role}:x@{parts.hostname}:{parts.port}"
    theirs = damageable.moved(database_url=parts._replace(netloc=place).geturl())
    try:
        answer = await theirs.ctl("rebuild", "--yes")
        assert answer.status == 3, answer
        assert "permission denied" in answer.err
    finally:
        await execute(url, f"drop owned by {role}; drop role {role}")
