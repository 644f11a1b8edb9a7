"""`influencerctl migrate`: safe to repeat, also by several at once."""

import asyncio

from tests.integration.ops.installation import Installation

VERSIONS = 4


async def test_first_all_then_nothing(bare_database: str, sound: Installation) -> None:
    new = sound.moved(database_url=bare_database)
    before = await new.ctl("migrate", "--status", "--json")
    assert before.status == 1
    assert not any(migration["applied"] for migration in before.json["migrations"])

    dry = await new.ctl("migrate", "--dry-run", "--json")
    assert dry.json == {"pending": [m["version"] for m in before.json["migrations"]]}
    assert (await new.ctl("migrate", "--status")).status == 1, "none was applied"
    first = await new.ctl("migrate", "--json")
    assert first.status == 0
    assert len(first.json["applied"]) >= VERSIONS
    assert (await new.ctl("migrate", "--json")).json == {"applied": []}
    again = await new.ctl("migrate")
    assert (again.status, again.out) == (0, "nothing to do: the database is up to date\n")

    after = await new.ctl("migrate", "--status", "--json")
    assert after.status == 0
    assert [m["version"] for m in after.json["migrations"]] == first.json["applied"]
    assert (await new.ctl("migrate", "--status")).out.count(" yes ") == len(first.json["applied"])


async def test_several_at_once(bare_database: str, sound: Installation) -> None:
    new = sound.moved(database_url=bare_database)
    answers = await asyncio.gather(*(new.ctl_process("migrate") for _ in range(2)))
    assert [(answer.status, answer.err) for answer in answers] == [(0, "")] * 2
    assert (await new.ctl("migrate", "--status")).status == 0


async def test_without_postgres_it_waits_as_long_as_told(sound: Installation) -> None:
    away = sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    answer = await away.ctl("migrate", "--wait", "0.3")
    assert (answer.status, answer.out) == (3, "")
    assert answer.err.startswith("postgres is unavailable: ")


async def test_commands_on_a_database_that_is_not_migrated(
    bare_database: str, sound: Installation
) -> None:
    new = sound.moved(database_url=bare_database)
    for command in (("org", "list"), ("lag",), ("key", "list")):
        answer = await new.ctl(*command)
        assert answer.status == 3
        assert answer.err.endswith("the database is not migrated: run `influencerctl migrate`\n")
        assert answer.err.count("\n") == 1
