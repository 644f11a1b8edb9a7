"""Readers of the organization's feed, by page and as a stream, who must miss nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import aiohttp
import orjson

from tests.faults.client import ANSWER_WITHIN, answer_of, fault_of, open_session, pause
from tests.faults.observations import FeedObservations
from tests.faults.system import System
from tests.waiting import NeverHappened, eventually

PATH = "/v1/events"
PAUSE_BEFORE_RETURNING = 0.2
WAIT_SECONDS = 2


class FeedReaders:
    """One that asks for page after page, one that holds a stream open and comes back to it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._paged, self._streamed = FeedObservations("pages"), FeedObservations("stream")
        self._faults: list[str] = []
        self._ending = asyncio.Event()

    @property
    def wrong(self) -> list[str]:
        return self._faults + self._paged.wrong + self._streamed.wrong

    async def __aenter__(self) -> "FeedReaders":
        self._session = open_session(self._system, None)
        self._tasks = [
            asyncio.create_task(self._read_pages()),
            asyncio.create_task(self._read_stream()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def until_complete(self, logged: Iterable[str], within: float) -> None:
        """In so many seconds both have everything that is on the log, and nothing else."""
        expected = set(logged)

        async def are_complete() -> bool:
            return self._paged.events == self._streamed.events == expected

        with suppress(NeverHappened):
            await eventually("the feed is read", are_complete, within)
        for observations in (self._paged, self._streamed):
            observations.compare(expected)

    async def _read_pages(self) -> None:
        cursor: str | None = None
        while not self._ending.is_set():
            page = await self._page(cursor)
            if page is None:
                await pause(self._ending, PAUSE_BEFORE_RETURNING)
                continue
            for event in page["items"]:
                self._paged.saw(event)
            cursor = page["nextCursor"]

    async def _page(self, cursor: str | None) -> Any:
        """None while nobody answers."""
        query = {"limit": "100"} | ({"after": cursor} if cursor else {})
        headers = {"Prefer": f"wait={WAIT_SECONDS}"}
        try:
            async with (
                asyncio.timeout(ANSWER_WITHIN),
                self._session.get(PATH, params=query, headers=headers) as response,
            ):
                answer = await answer_of(response)
        except (aiohttp.ClientError, TimeoutError):
            return None
        if fault := fault_of(f"GET {PATH}", answer):
            self._faults.append(fault)
        return answer.json if answer.is_success else None

    async def _read_stream(self) -> None:
        last_id = ""
        while not self._ending.is_set():
            with suppress(aiohttp.ClientError, TimeoutError):
                async for identifier, data in self._events_after(last_id):
                    if data:
                        self._streamed.saw(orjson.loads(data))
                    last_id = identifier or last_id
            await pause(self._ending, PAUSE_BEFORE_RETURNING)

    async def _events_after(self, last_id: str) -> AsyncIterator[tuple[str, bytes]]:
        """Ids and data; a stream that is silent for longer than its comments come is dead."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        silence = aiohttp.ClientTimeout(total=None, sock_read=20)
        async with self._session.get(PATH, headers=headers, timeout=silence) as response:
            if response.status != 200:
                return
            identifier, data = "", b""
            async for line in response.content:
                name, _, value = line.rstrip(b"\r\n").partition(b": ")
                if name == b"id":
                    identifier = value.decode()
                elif name == b"data":
                    data += value
                elif not name and (identifier or data):
                    yield identifier, data
                    identifier, data = "", b""
