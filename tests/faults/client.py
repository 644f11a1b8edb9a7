"""A client that writes down every call, and repeats it with the same key until it is answered."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from tests.faults.journal import Journal
from tests.faults.rules import broken
from tests.faults.system import System

ANSWER_WITHIN = 15.0
PAUSE_BEFORE_REPEATING = 0.1
NOT_KNOWN = (500, 503)


class Answer(NamedTuple):
    status: int
    body: bytes
    json: Any
    headers: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        return self.status < 300

    @property
    def is_under_way(self) -> bool:
        """The same key is at work elsewhere, after a connection that broke: come back later."""
        return self.status == 409 and self.json["error"]["code"] == "IDEMPOTENCY_CONFLICT"

    @property
    def is_replay(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


@dataclass(frozen=True)
class Wish:
    """Something that a client wants done once, however often it has to ask.

    `names` are ids it says itself; of a success it is held to `learns`, fields of the answer, and
    if it `changes` something, to an event. `allowed` are refusals that it takes.
    """

    method: str
    path: str
    key: str
    body: Mapping[str, object] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    learns: tuple[str, ...] = ()
    changes: bool = False
    allowed: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""

    @property
    def told(self) -> str:
        return f"{self.method} {self.path}"


class Client:
    """`wrong` collects what no client should ever see."""

    def __init__(self, system: System, journal: Journal, wrong: list[str]) -> None:
        self._system = system
        self._journal = journal
        self._wrong = wrong
        self._session = open_session(system)

    async def close(self) -> None:
        await self._session.close()

    def report(self, violation: str) -> None:
        self._wrong.append(violation)

    async def ask(self, wish: Wish) -> Answer:
        """Its answer, as soon as there is one that says what became of it."""
        while True:
            answer = await self._send(wish)
            if answer is not None and self._says_what_became(answer, wish):
                self._note(wish, answer)
                return answer
            self._leave_open(wish, answer)
            await pause(asyncio.Event(), PAUSE_BEFORE_REPEATING)

    async def ask_again(self, wish: Wish, first: Answer) -> None:
        """The same key again must give the same answer, byte for byte."""
        again = await self.ask(wish)
        if (again.status, again.body) != (first.status, first.body):
            detail = f"{wish.key}: first {first.body!r}, then {again.body!r}"
            self._wrong.append(broken("repeated-answer-differs", wish.told, detail))

    async def read(self, path: str) -> Answer | None:
        """None when nobody answers."""
        try:
            async with self._session.get(path) as response:
                answer = await answer_of(response)
        except (aiohttp.ClientError, TimeoutError):
            return None
        if fault := fault_of(f"GET {path}", answer):
            self._wrong.append(fault)
        return answer

    async def _send(self, wish: Wish) -> Answer | None:
        self._journal.ask(**self._facts(wish))
        headers = {"Idempotency-Key": wish.key, **wish.headers}
        try:
            async with self._session.request(
                wish.method, wish.base_url + wish.path, json=wish.body, headers=headers
            ) as response:
                return await answer_of(response)
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _says_what_became(self, answer: Answer, wish: Wish) -> bool:
        if fault := fault_of(wish.told, answer):
            self._wrong.append(fault)
        return answer.status not in NOT_KNOWN and not answer.is_under_way

    def _note(self, wish: Wish, answer: Answer) -> None:
        facts = {**self._facts(wish), **_answered(answer)}
        if not answer.is_success:
            self._journal.refuse(**facts)
            if answer.status not in wish.allowed:
                detail = f"{answer.status} {answer.body!r}"
                self._wrong.append(broken("answer-is-wrong", wish.told, detail))
            return
        learned = {name: answer.json[name] for name in wish.learns if name in answer.json}
        caused = wish.changes and answer.json.get("accepted", True) and not answer.is_replay
        self._journal.accept(**{**facts, **learned, "causedEvent": caused})
        others = {name for name in wish.names.keys() & answer.json.keys()}
        if any(answer.json[name] != wish.names[name] for name in others):
            self._wrong.append(broken("answer-is-wrong", wish.told, f"{answer.body!r}"))

    def _leave_open(self, wish: Wish, answer: Answer | None) -> None:
        self._journal.leave_open(**self._facts(wish), **(_answered(answer) if answer else {}))

    def _facts(self, wish: Wish) -> dict[str, object]:
        return {
            "call": wish.told,
            "idempotencyKey": wish.key,
            "organizationId": self._system.organization_id,
            **wish.names,
        }


def open_session(system: System, within: float | None = ANSWER_WITHIN) -> aiohttp.ClientSession:
    """With the system's key. `within` seconds an answer is whole."""
    return aiohttp.ClientSession(
        system.base_url,
        headers={"X-Api-Key": system.api_key},
        timeout=aiohttp.ClientTimeout(total=within),
    )


async def answer_of(response: aiohttp.ClientResponse) -> Answer:
    body = await response.read()
    read = await response.json() if body else None
    return Answer(response.status, body, read, response.headers)


def fault_of(call: str, answer: Answer) -> str | None:
    """What is wrong with any answer, whatever was asked."""
    if answer.status == 500:
        return broken("error-of-the-server", call, f"{answer.body!r}")
    if answer.status == 503 and not answer.headers.get("Retry-After", "").isdecimal():
        return broken("unavailable-without-retry-after", call, f"{answer.body!r}")
    return None


def _answered(answer: Answer) -> dict[str, object]:
    return {"status": answer.status, "requestId": answer.headers.get("X-Request-Id")}


async def pause(ending: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ending.wait()
