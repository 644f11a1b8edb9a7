"""The conformance suite passes what conforms, and names the fault of what does not."""

import json
import re
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from schemas.events import EventData
from services.core.postgres import Pool, acquire
from services.core.subscriber import Received, Subscriber
from services.core.subscriber.conformance import (
    SCENARIOS,
    Effect,
    Guarantee,
    InProcess,
    Outcome,
    Surroundings,
    UnderTest,
    run_suite,
)
from services.core.subscriber.conformance.__main__ import main
from services.core.subscriber.conformance.process import Program
from services.core.subscriber.postgres_store import Connection, PostgresStore
from tests.integration.subscriber.naive import Fault, naive

EXAMPLE = (sys.executable, "-m", "examples.ledger")
EFFECTS = "examples.ledger_effects"
DOCUMENT = Path(__file__).parents[3] / "docs/subscribing.md"


class Example(Program):
    """Its effects are looked up in its file: as a program would print them, only sooner."""

    async def effects(self, surroundings: Surroundings) -> Sequence[Effect]:
        file = surroundings.state / "ledger.db"
        if not file.exists():
            return ()
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            rows = connection.execute("select event_id, stream, sequence from names order by rowid")
            return [Effect(*row) for row in rows]
        except sqlite3.OperationalError:  # the table is not there yet
            return ()
        finally:
            connection.close()


async def play(
    under_test: UnderTest, stack: Stack, folder: Path, only: str = "", **options: Any
) -> list[Outcome]:
    scenarios = [one for one in SCENARIOS if one.name == only or not only]
    played = run_suite(under_test, stack.bootstrap_servers, folder, scenarios=scenarios, **options)
    return [one async for one in played]


def complaints(played: Sequence[Outcome]) -> dict[str, str]:
    return {one.scenario.name: one.complaint for one in played if one.complaint}


async def test_the_example_conforms(stack: Stack, tmp_path: Path) -> None:
    played = await play(Example(EXAMPLE), stack, tmp_path, guarantee=Guarantee.EXACTLY_ONCE)
    assert not complaints(played)
    assert len(played) == len(SCENARIOS)


async def test_the_library_conforms_in_batches_on_postgres(
    stack: Stack, pool: Pool, tmp_path: Path
) -> None:
    store = PostgresStore(pool)
    await store.create_tables()
    async with acquire(pool) as connection:
        await connection.execute(
            "create table ledger (position bigserial, subscription text, id text, stream text,"
            " sequence integer)"
        )

    def make(surroundings: Surroundings) -> Subscriber[Connection]:
        subscriber = Subscriber(
            surroundings.group,
            surroundings.bootstrap_servers,
            store,
            topic_prefix=surroundings.prefix,
            instance=surroundings.instance or None,
            max_records=10,
        )

        @subscriber.on_batch()
        async def note(many: Sequence[Received[EventData]], connection: Connection) -> None:
            await connection.executemany(
                "insert into ledger (subscription, id, stream, sequence) values ($1, $2, $3, $4)",
                [(surroundings.group, one.id, one.stream.key, one.sequence) for one in many],
            )

        return subscriber

    async def effects(surroundings: Surroundings) -> Sequence[Effect]:
        query = "select id, stream, sequence from ledger where subscription = $1 order by position"
        async with acquire(pool) as connection:
            return [Effect(*row) for row in await connection.fetch(query, surroundings.group)]

    under_test = InProcess(make, effects)
    played = await play(under_test, stack, tmp_path, guarantee=Guarantee.EXACTLY_ONCE)
    assert not complaints(played)


async def test_a_sound_subscriber_of_another_make_conforms(stack: Stack, tmp_path: Path) -> None:
    played = await play(naive(Fault.NONE), stack, tmp_path)
    assert not complaints(played)


FAULTS = {
    Fault.NEWEST_FIRST: ("order", "must be applied"),
    Fault.ONE_CURSOR: ("order", "in vain for .* effects|must be applied"),
    Fault.NO_DEDUPE: ("duplicates", "applied: 1 1"),
    Fault.IGNORES_GAPS: ("gap", "applied: 1 2 4 5"),
    Fault.STOPS_AT_UNKNOWN_TYPE: ("unknown-type", "it ended with AssertionError"),
    Fault.STOPS_AT_UNKNOWN_FIELD: ("unknown-field", "it ended with AssertionError"),
    Fault.GUESSES_NEWER_VERSIONS: ("newer-version", "applied: 1 2 3"),
    Fault.SKIPS_POISON: ("poison", "applied: 1 3"),
    Fault.STOPS_AT_POISON: ("poison", "it ended with AssertionError"),
    Fault.STOPS_AT_FOREIGN: ("foreign", "it ended with"),
    Fault.READS_UNCOMMITTED: ("aborted", "applied: 1 2"),
    Fault.COUNTS_OFFSETS: ("markers", "it ended with AssertionError"),
    Fault.JUMPS_TO_THE_END: ("rebalance", "in vain for .* effects|must be applied"),
    Fault.COMMITS_FIRST: ("kill", "must be applied"),
    Fault.ENDS: ("order", "it ended"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_named(fault: Fault, stack: Stack, tmp_path: Path) -> None:
    scenario, complaint = FAULTS[fault]
    (played,) = await play(naive(fault), stack, tmp_path, only=scenario, patience=3)
    assert re.search(complaint, played.complaint or "nothing")


async def test_at_least_once_is_not_exactly_once(stack: Stack, tmp_path: Path) -> None:
    late = naive(Fault.REMEMBERS_LATE)
    assert not complaints(await play(late, stack, tmp_path / "1", only="kill"))
    exactly = Guarantee.EXACTLY_ONCE
    (played,) = await play(late, stack, tmp_path / "2", only="kill", guarantee=exactly)
    assert "must be applied, in this order" in (played.complaint or "nothing")


def test_the_document_names_every_scenario() -> None:
    text = DOCUMENT.read_text()
    assert not [one.name for one in SCENARIOS if f"| `{one.name}` |" not in text]


def test_as_a_command(
    stack: Stack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code if isinstance(end.value.code, int) else -1

    kafka = ("--kafka", stack.bootstrap_servers, "--folder", str(tmp_path))
    assert run("--help") == 0
    assert "example:" in capsys.readouterr().out
    assert run(*kafka, "--json", "--only", "gap", "--only", "foreign", "--", "false") == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["complaint"] for one in told] == ["its process ended with status 1"] * 2
    assert run(*kafka, "--only", "gap", "--", "false") == 1
    assert "0 passed, 1 failed" in capsys.readouterr().out
    effects = ("--guarantee", "exactly-once", "--effects", f"{sys.executable} -m {EFFECTS}")
    assert run(*kafka, "--only", "gap", *effects, "--", *EXAMPLE) == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out
    assert run("--kafka", "127.0.0.1:1", "--", "true") == 3
    assert run(*kafka) == 2
