"""What a client must never be answered, whatever it asked, and that it says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.core.eventlog.topics import TopicNames
from tests.faults import load as load_module
from tests.faults.client import Answer, Client, Wish, fault_of
from tests.faults.journal import Journal
from tests.faults.load import Load
from tests.faults.rules import broken, rule_of
from tests.faults.system import System
from tests.waiting import eventually

KEY = "req_1"


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Nobody listens there."""
    return System(
        database_url="",
        topics=TopicNames(""),
        folder=tmp_path,
        media_folder=tmp_path,
        base_url="http://127.0.0.1:9",
        organization_id="organization",
        project_id="project",
        api_key="key",  # pragma: allowlist secret
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.jsonl")
    yield made
    made.close()


@pytest.fixture
async def client(system: System, journal: Journal) -> AsyncIterator[Client]:
    made = Client(system, journal, [])
    yield made
    await made.close()


def answer(status: int, body: dict[str, Any], **headers: str) -> Answer:
    return Answer(status, json.dumps(body).encode(), body, {"X-Request-Id": "req_9", **headers})


@pytest.mark.parametrize(
    ("status", "headers", "rule"),
    [
        (200, {}, None),
        (503, {"Retry-After": "1"}, None),
        (503, {}, "unavailable-without-retry-after"),
        (503, {"Retry-After": "soon"}, "unavailable-without-retry-after"),
        (500, {}, "error-of-the-server"),
    ],
)
def test_answers_of_a_server_in_trouble(
    status: int, headers: dict[str, str], rule: str | None
) -> None:
    fault = fault_of("GET /", Answer(status, b"", None, headers))
    assert (rule_of(fault) if fault else None) == rule


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (answer(202, {"influencerId": "inf_1", "jobId": "job_1"}), None),
        (answer(202, {"influencerId": "inf_2", "jobId": "job_1"}), "answer-is-wrong"),
        (answer(409, {}), None),
        (answer(404, {}), "answer-is-wrong"),
    ],
)
async def test_an_answer_is_held_to_what_was_asked(
    client: Client, given: Answer, rule: str | None
) -> None:
    client._note(Wish("POST", "/", KEY, names={"influencerId": "inf_1"}, allowed=(409,)), given)
    assert [rule_of(wrong) for wrong in client._wrong] == ([rule] if rule else [])


async def test_every_answer_is_written_down(client: Client, journal: Journal) -> None:
    wish = Wish("POST", "/", KEY, learns=("jobId",), changes=True, allowed=(409,))
    client._leave_open(wish, None)
    client._leave_open(wish, answer(503, {}))
    client._note(wish, answer(409, {}))
    client._note(wish, answer(202, {"jobId": "job_1"}))
    client._note(wish, answer(202, {"jobId": "job_1"}, **{"Idempotent-Replayed": "true"}))
    client._note(wish, answer(200, {"jobId": "job_1", "accepted": False}))
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert {line["idempotencyKey"] for line in lines} == {KEY}
    assert [(line["outcome"], line.get("status")) for line in lines] == [
        ("unknown", None),
        ("unknown", 503),
        ("refused", 409),
        ("accepted", 202),
        ("accepted", 202),
        ("accepted", 200),
    ]
    assert [line.get("causedEvent") for line in lines[3:]] == [True, False, False]
    assert (lines[3]["jobId"], lines[3]["requestId"]) == ("job_1", "req_9")


async def test_a_client_that_gets_no_answer_or_fails_is_named(
    system: System, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "DRAINS_WITHIN", 0.05)

    async def fail() -> None:
        raise KeyError("jobId")

    async def has_asked() -> bool:
        return journal.asked > 0

    load = Load(system, journal, clients=1, pause=0.0, seed=7)
    async with load:
        load._tasks.append(asyncio.create_task(fail()))
        await eventually("the client asks", has_asked)
    assert sorted(rule_of(wrong) for wrong in load.wrong) == ["client-failed", "never-answered"]


def test_a_rule_that_nobody_knows_is_refused() -> None:
    with pytest.raises(AssertionError):
        broken("no-such-rule", "anything")
