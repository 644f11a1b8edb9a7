"""Every command that docs/operations.md shows is run as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from services.core.eventlog.topics import TopicNames
from tests.integration.ops.history import History
from tests.integration.ops.installation import Installation, invoked

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"

# Nobody relays here, so status has something to say; import needs an empty log; nothing is in
# quarantine or in the queue, and the job has ended.
EXPECTED: dict[tuple[str, ...], int] = {
    ("status",): 1,
    ("relay", "status"): 1,
    ("events", "show", "--since"): 1,  # there are none
    ("events", "show", "--topic"): 1,
    ("queue", "retry"): 1,
    ("queue", "cancel"): 1,
    ("import",): 1,
    ("restore",): 2,  # the database is not empty
    **{("quarantine", verb, "INFLUENCER_ID"): 1 for verb in ("show", "retry", "skip")},
}


def expected(command: list[str]) -> int:
    found = (status for begin, status in EXPECTED.items() if (*command[: len(begin)],) == begin)
    return next(found, 0)


def fenced_commands() -> list[list[str]]:
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert all(line.startswith("influencerctl ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


def inline_commands() -> list[list[str]]:
    return [
        shlex.split(found) for found in re.findall(r"`influencerctl ([^`]+)`", PAGE.read_text())
    ]


def test_every_command_has_help_with_an_example() -> None:
    shown = fenced_commands() + inline_commands()
    assert len(shown) > 25
    for command in shown:
        words = [word for word in command[:2] if re.fullmatch("[a-z-]+", word) and word[0] != "-"]
        answer = invoked([*words, "--help"], {"COLUMNS": "200"})
        assert answer.status == 0, command
        assert "Example: influencerctl" in answer.out
        for option in (word for word in command if word.startswith("--")):
            assert option in answer.out, command


async def test_every_command_does_what_the_page_says(
    damageable: Installation, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_STORE_URL", (tmp_path / "media").as_uri())
    organization = (await damageable.ctl("org", "create", "x", "--json")).json["organizationId"]
    key = await damageable.ctl(
        "key", "create", "--organization", organization, "--scopes", "*", "x", "--json"
    )
    named = {
        "ORGANIZATION_ID": organization,
        "KEY_ID": key.json["keyId"],
        "INFLUENCER_ID": history.completed.influencer_id,
        "JOB_ID": history.completed.job_id,
        "EVENT_ID": history.events[0].id,
    }
    for command in fenced_commands():
        if "--media-folder" in command:
            continue  # there are no pictures behind the events of this test
        arguments = [
            str(tmp_path / word) if word.endswith(".zst") else named.get(word, word)
            for word in command
        ]
        if command[:2] == ["events", "tail"] and "--no-follow" not in command:
            arguments += ["--limit", "1"]
        if "--replication-factor" in command:  # there is one broker here, and these exist
            arguments[arguments.index("3")] = "1"
        answer = await damageable.ctl(*arguments)
        assert answer.status == expected(command), (command, answer)


async def test_too_many_replicas_for_the_brokers_are_told(sound: Installation) -> None:
    new = sound.moved(topics=TopicNames("replicated."))
    answer = await new.ctl("topics", "create", "--replication-factor", "3")
    assert (answer.status, answer.err.count("\n")) == (3, 1)
    assert "InvalidReplicationFactorError" in answer.err
