"""What changes something asks first: "no", and no answer at all, leave everything as it is."""

from pathlib import Path

import pytest

from tests.integration.ops.history import KEY_ID, History
from tests.integration.ops.installation import Answer, Installation, execute
from tests.unit.ops.test_commands import COMMANDS, options_of

ADDITIONS = {"migrate", "grants", "topics create", "org create", "project create", "key create"}
"""These ask at a terminal only: a script that adds something needn't say --yes."""

PARKED = """
insert into read_model.quarantine (topic, partition, record_offset, stream_key, reason, headers)
values ($1, 0, 123456, 'a/b', 'a bug', '[]')
"""
DELAYED = """
insert into render_queue.pgqueuer (priority, status, entrypoint, dedupe_key, execute_after)
values (0, 'queued', 'render', $1, now() + interval '1 hour')
"""


async def prepared(installation: Installation, history: History) -> dict[str, list[str]]:
    """Something to do for each command that asks whatever it finds; the arguments."""
    url, create = installation.database_url, history.completed
    await execute(url, PARKED, installation.topics.influencer)
    await execute(url, DELAYED, create.job_id)
    await execute(
        url,
        "update read_model.influencers set status = 'draft' where influencer_id = $1",
        create.influencer_id,
    )
    return {
        "rebuild": [],
        "rebuild rollback": [],
        "rebuild abort": [],
        "rebuild drop-previous": [],
        "repair": [create.influencer_id],
        "quarantine retry": ["--all"],
        "quarantine skip": ["a/b", "--reason", "foreign"],
        "queue retry": [create.job_id],
        "queue cancel": [create.job_id],
        "key revoke": [KEY_ID],
    }


def refused(answer: Answer, name: str) -> None:
    assert answer.status == 1, (name, answer)
    assert "[y/N]" in answer.err, name


async def test_without_a_yes_nothing_is_changed(damageable: Installation, history: History) -> None:
    commands = await prepared(damageable, history)
    elsewhere = {"import", "restore", "media sweep"}
    asking = {name for name, command in COMMANDS.items() if "--yes" in options_of(command)}
    assert commands.keys() - {"rebuild"} == asking - ADDITIONS - elsewhere  # that one is a group
    for name, arguments in commands.items():
        refused(await damageable.ctl(*name.split(), *arguments, typed="n\n"), name)
        refused(await damageable.ctl(*name.split(), *arguments, typed=""), name)
    skipped = await damageable.ctl("quarantine", "list", "--skipped", "--json")
    assert skipped.json["skipped"] == []
    verified = (await damageable.ctl("verify", "--json", "--workers", "1")).json
    assert verified["differenceCounts"] == {"read_model.influencers": 1, "read_model.quarantine": 1}
    waiting = (await damageable.ctl("queue", "list", "--json")).json["entries"]
    assert [entry["state"] for entry in waiting] == ["delayed"]


@pytest.mark.parametrize("typed", ["n\n", ""])
async def test_a_log_is_neither_imported_nor_restored_without_a_yes(
    typed: str, sound: Installation, empty: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "log.zst"
    assert (await sound.ctl("export", str(file))).status == 0
    refused(await empty.ctl("import", str(file), typed=typed), "import")
    refused(await empty.ctl("restore", typed=typed), "restore")
    assert (await empty.ctl("restore", "--dry-run", "--json")).json["offsets"] == 0
