"""What holds for every command of `influencerctl`, whoever adds one."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from services.ops.__main__ import ctl

# These change nothing that an installation holds. Every other command asks first where somebody
# can answer (--yes), and only says what it would do when told to (--dry-run).
READ_ONLY = {
    "status",
    "lag",
    "history",
    "check-log",
    "export",
    "verify",
    "events tail",
    "events show",
    "outbox status",
    "relay status",
    "queue list",
    "quarantine list",
    "quarantine show",
    "rebuild status",
    "topics list",
    "org list",
    "project list",
    "key list",
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups left out."""
    within: dict[str, click.Command] = getattr(command, "commands", {})
    if not within:
        yield " ".join(path), command
    for name, inner in within.items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(ctl)))


def options_of(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_with_an_example_of_itself(name: str) -> None:
    answer = CliRunner().invoke(ctl, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    example = re.search(r"Example: influencerctl (.+)", answer.stdout)
    assert example is not None
    assert example[1].startswith(name)
    options = {word.partition("=")[0] for word in shlex.split(example[1]) if word[:2] == "--"}
    assert options <= options_of(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_answer_in_json(name: str) -> None:
    assert "--json" in options_of(COMMANDS[name])


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - READ_ONLY))
def test_what_changes_something_asks_first_and_has_a_dry_run(name: str) -> None:
    assert {"--yes", "--dry-run"} <= options_of(COMMANDS[name])


@pytest.mark.parametrize("name", sorted(READ_ONLY & COMMANDS.keys()))
def test_what_changes_nothing_asks_nothing(name: str) -> None:
    # An export changes nothing of an installation, but makes a file, which may be large.
    unwanted = {"--yes"} if name == "export" else {"--yes", "--dry-run"}
    assert not unwanted & options_of(COMMANDS[name])


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("bash", {"COMP_WORDS": "influencerctl que", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "influencerctl que"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "influencerctl que",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_tab_completes(shell: str, variables: dict[str, str]) -> None:
    environment = {"_INFLUENCERCTL_COMPLETE": f"complete_{shell}", **variables}
    answer = CliRunner().invoke(ctl, [], env=environment, prog_name="influencerctl")
    assert "queue" in answer.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "services.ops", "--install-completion", shell],
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    installed = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("_INFLUENCERCTL_COMPLETE" in path.read_text() for path in installed)
