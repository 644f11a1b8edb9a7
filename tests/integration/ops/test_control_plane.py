"""`influencerctl org | project | key`."""

import asyncio
import hashlib
import os
import sys
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from services.core.clock import system_clock, timestamp
from tests.integration.ops.installation import Installation

KEY_ID = "key_01HXZ9G7KMV2QX8Y1S5RJW3B7T"


@pytest.fixture
def plain(sound: Installation, database_url: str) -> Installation:
    """Kafka isn't asked for any of this."""
    return sound.moved(database_url=database_url, bootstrap_servers="")


async def organization(plain: Installation, name: str = "Acme") -> str:
    answer = await plain.ctl("org", "create", name, "--json")
    assert answer.status == 0, answer
    return str(answer.json["organizationId"])


async def test_organizations(plain: Installation) -> None:
    created = await plain.ctl("org", "create", "  Acme [red] ", "--json")
    assert created.status == 0
    assert created.json.keys() == {"organizationId", "name"}
    assert created.json["name"] == "Acme [red]"
    listed = (await plain.ctl("org", "list", "--json")).json["organizations"]
    assert [o.keys() for o in listed] == [{"organizationId", "name", "createdAt"}]
    assert listed[0]["organizationId"] == created.json["organizationId"]
    assert listed[0]["name"] == "Acme [red]"

    second = await plain.ctl("org", "create", "[/] Second")
    identifier = second.out.removeprefix("organization ").strip()
    shown = await plain.ctl("org", "list")
    assert shown.out.index("Acme [red]") < shown.out.index("[/] Second")
    assert identifier in shown.out


async def test_projects(plain: Installation) -> None:
    acme, other = await organization(plain), await organization(plain, "Other")
    created = await plain.ctl("project", "create", "--organization", acme, "Launch", "--json")
    assert created.json.keys() == {"projectId", "organizationId", "name"}
    assert (created.json["organizationId"], created.json["name"]) == (acme, "Launch")
    listed = (await plain.ctl("project", "list", "--organization", acme, "--json")).json["projects"]
    assert [p.keys() for p in listed] == [{"projectId", "organizationId", "name", "createdAt"}]
    assert listed[0]["projectId"] == created.json["projectId"]
    assert "Launch" in (await plain.ctl("project", "list", "--organization", acme)).out
    empty = await plain.ctl("project", "list", "--organization", other, "--json")
    assert empty.json == {"projects": []}


async def test_keys(plain: Installation) -> None:
    acme = await organization(plain)
    before = system_clock()
    created = await plain.ctl(
        *("key", "create", "--organization", acme, "--scopes", "influencers:write, jobs:read"),
        *("--tier", "pilot", "--expires-in", "90d", "backend", "--json"),
    )
    assert created.status == 0
    key = created.json
    assert key.keys() == {
        *("apiKey", "keyId", "organizationId", "name", "scopes", "tier", "expiresAt")
    }
    assert key["apiKey"].startswith(f"isk_{key['keyId'].removeprefix('key_')}_")
    assert key["scopes"] == ["influencers:write", "jobs:read"]
    assert timestamp(before + timedelta(days=90)) <= key["expiresAt"]

    connection = await asyncpg.connect(plain.database_url)
    kept = await connection.fetchrow("select * from control.api_keys")
    await connection.close()
    assert kept is not None
    assert kept["key_hash"] == hashlib.sha256(key["apiKey"].encode()).digest()
    assert key["apiKey"] not in map(str, kept.values())

    listed = (await plain.ctl("key", "list", "--organization", acme, "--json")).json["keys"]
    assert [k["keyId"] for k in listed] == [key["keyId"]]
    assert "apiKey" not in listed[0]
    assert (listed[0]["tier"], listed[0]["revokedAt"]) == ("pilot", None)


async def test_a_key_is_shown_once_to_people_too(plain: Installation) -> None:
    acme = await organization(plain)
    shown = await plain.ctl("key", "create", "--organization", acme, "--scopes", "*", "all")
    key = shown.out.splitlines()[1].removeprefix("key").strip()
    assert key.startswith("isk_")
    assert "can't be shown again" in shown.out
    listed = await plain.ctl("key", "list")
    assert key not in listed.out
    assert "all" in listed.out


async def test_revoking_asks_first_and_is_for_good(plain: Installation) -> None:
    acme = await organization(plain)
    created = await plain.ctl(
        "key", "create", "--organization", acme, "--scopes", "*", "k", "--json"
    )
    key_id = created.json["keyId"]

    declined = await plain.ctl("key", "revoke", key_id, typed="n\n")
    assert declined.status == 1
    assert (await plain.ctl("key", "list", "--json")).json["keys"][0]["revokedAt"] is None
    nobody_there = await plain.ctl_process("key", "revoke", key_id)
    assert nobody_there.status == 1

    agreed = await plain.ctl("key", "revoke", key_id, typed="y\n")  # what is typed is echoed
    assert (agreed.status, agreed.out) == (0, f" y\nrevoked {key_id}\n")
    revoked_at = (await plain.ctl("key", "list", "--json")).json["keys"][0]["revokedAt"]
    again = await plain.ctl("key", "revoke", key_id, "--yes", "--json")
    assert (again.status, again.json) == (0, {"keyId": key_id, "revoked": True})
    assert (await plain.ctl("key", "list", "--json")).json["keys"][0]["revokedAt"] == revoked_at

    unknown = await plain.ctl("key", "revoke", KEY_ID, "--yes")
    assert (unknown.status, unknown.err) == (1, f"there is no key {KEY_ID}\n")


async def test_a_dry_run_changes_nothing(plain: Installation) -> None:
    acme = await organization(plain)
    of_acme = ("--organization", acme)
    created = await plain.ctl("key", "create", *of_acme, "--scopes", "*", "k", "--json")
    key_id = created.json["keyId"]
    for command, says in (
        (("org", "create", "Beta"), "would create organization Beta"),
        (("project", "create", *of_acme, "Launch"), "would create project Launch"),
        (("key", "create", *of_acme, "--scopes", "*", "all"), "would create key all"),
        (("key", "revoke", key_id), f"would revoke {key_id}"),
    ):
        answer = await plain.ctl(*command, "--dry-run")
        assert (answer.status, answer.out) == (0, f"{says}\n")
        assert (await plain.ctl(*command, "--dry-run", "--json")).json["dryRun"] is True
    assert len((await plain.ctl("org", "list", "--json")).json["organizations"]) == 1
    assert (await plain.ctl("project", "list", *of_acme, "--json")).json["projects"] == []
    (key,) = (await plain.ctl("key", "list", "--json")).json["keys"]
    assert key["revokedAt"] is None
    for for_nobody in (("project", "create"), ("key", "create", "--scopes", "*")):
        nobody = ("--organization", str(uuid4()), "x", "--dry-run")
        assert (await plain.ctl(*for_nobody, *nobody)).status == 1


async def test_at_a_terminal_it_asks_before_it_creates(plain: Installation) -> None:
    for typed, count in (("n", 0), ("y", 1)):
        keyboard, terminal = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.ops", "org", "create", "Acme"),
            env={**os.environ, **plain.environment},
            stdin=terminal,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.write(keyboard, f"{typed}\n".encode())
        _, err = await process.communicate()
        os.close(keyboard)
        os.close(terminal)
        assert b"Create organization Acme?" in err
        found = (await plain.ctl("org", "list", "--json")).json["organizations"]
        assert len(found) == count


async def test_tab_completes_ids(plain: Installation) -> None:
    acme = await organization(plain)
    typed = {
        "_INFLUENCERCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "influencerctl project list --organization ",
        "COMP_CWORD": "4",
    }
    assert acme in (await plain.ctl_process(**typed)).out
    away = plain.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    answer = await away.ctl_process(**typed)
    assert (answer.out.strip(), answer.err) == ("", "")


async def test_an_organization_that_is_not_there(plain: Installation) -> None:
    nobody = str(uuid4())
    for command in (
        ("project", "create", "--organization", nobody, "Launch"),
        ("project", "list", "--organization", nobody),
        ("key", "create", "--organization", nobody, "--scopes", "*", "k"),
        ("key", "list", "--organization", nobody),
    ):
        answer = await plain.ctl(*command)
        assert answer.status == 1, command
        assert (answer.out, answer.err) == ("", f"there is no organization {nobody}\n")


async def test_what_cannot_be_meant_is_wrong_usage(plain: Installation) -> None:
    acme = await organization(plain)
    key = ("key", "create", "--organization", acme)
    for command, says in (
        ((*key, "--scopes", "influencers:rite", "k"), "there is no scope 'influencers:rite'"),
        ((*key, "--scopes", " , ", "k"), "a key needs at least one scope"),
        ((*key, "--scopes", "*", "--tier", "gold", "k"), "there is no tier 'gold'"),
        ((*key, "--scopes", "*", "--expires-in", "soon", "k"), "'soon' is not a duration"),
        ((*key, "--scopes", "*", " "), "a name has 1 to 128 printable characters"),
        (("org", "create", "a\nb"), "a name has 1 to 128 printable characters"),
        (("org", "create", "x" * 129), "a name has 1 to 128 printable characters"),
        (("key", "revoke", "nonsense", "--yes"), "'nonsense' is not a key id"),
    ):
        answer = await plain.ctl(*command)
        assert (answer.status, answer.out) == (2, ""), command
        assert answer.err.startswith(says)
        assert answer.err.count("\n") == 1
    assert (await plain.ctl("key", "list", "--json")).json == {"keys": []}
    unfinished: list[tuple[str, ...]] = [
        ("project", "list"),
        ("org", "create"),
        ("project", "list", "--organization=x"),
    ]
    for arguments in unfinished:
        assert (await plain.ctl(*arguments)).status == 2


async def test_a_database_that_cannot_be_reached_or_read(plain: Installation) -> None:
    for url, status, says in (
        ("postgresql://nobody:secret@127.0.0.1:1/none", 3, "postgres is unavailable: "),
        ("postgresql://nobody:secret/none", 2, "DATABASE_URL can't be read: "),
        ("nonsense", 2, "DATABASE_URL can't be read: "),
        ("", 2, "DATABASE_URL is not set"),
    ):
        answer = await plain.moved(database_url=url).ctl("org", "list")
        assert (answer.status, answer.out) == (status, ""), url
        assert answer.err.startswith(says)
        assert answer.err.count("\n") == 1
        assert "secret" not in answer.err
