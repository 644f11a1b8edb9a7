"""Organizations take turns."""

import asyncio

import pytest

from services.core.turns import FairQueue, Turns


def taken(queue: FairQueue[str], count: int) -> list[str]:
    return [queue.take() for _ in range(count)]


def test_organizations_are_served_in_turn_and_each_in_order() -> None:
    queue = FairQueue[str]()
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.put(item[0], item)
    assert len(queue) == 6
    assert taken(queue, 6) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert not queue


def test_who_comes_late_waits_for_one_turn_of_each() -> None:
    queue = FairQueue[str]()
    for number in range(100):
        queue.put("noisy", f"noisy {number}")
    taken(queue, 10)
    queue.put("quiet", "quiet")
    assert "quiet" in taken(queue, 2)


def test_what_is_put_first_is_next() -> None:
    queue = FairQueue[str]()
    for item in ("a1", "b1", "b2"):
        queue.put(item[0], item)
    queue.put_first("b", "b0")
    assert taken(queue, 4) == ["b0", "a1", "b1", "b2"]


def test_nothing_is_taken_from_an_empty_queue() -> None:
    with pytest.raises(IndexError):
        FairQueue[str]().take()


class Users:
    """Of turns; each keeps its place until it is let go."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.at_it: list[str] = []
        self._let_go: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._let_go[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._use(name))
        await self.settled()

    async def go(self, name: str) -> None:
        self._let_go[name].set()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def _use(self, name: str) -> None:
        async with self._turns.turn(name[0]):
            self.at_it.append(name)
            await self._let_go[name].wait()
            self.at_it.remove(name)


async def test_one_organization_never_has_all_places() -> None:
    users = Users(Turns(2))
    await users.come("a1", "a2", "a3")
    assert users.at_it == ["a1"]
    await users.come("b1")
    assert users.at_it == ["a1", "b1"]
    await users.go("a1")
    assert users.at_it == ["b1", "a2"]


async def test_places_go_round() -> None:
    users = Users(Turns(1))
    await users.come("a1", "a2", "a3", "b1")
    order = []
    for _ in range(4):
        order += users.at_it
        await users.go(users.at_it[0])
    assert order == ["a1", "a2", "b1", "a3"] or order == ["a1", "b1", "a2", "a3"]


async def test_who_gives_up_takes_no_place_along() -> None:
    users = Users(Turns(1))
    await users.come("a1", "b1", "c1")
    users.tasks["b1"].cancel()
    await users.settled()
    await users.go("a1")
    assert users.at_it == ["c1"]
    await users.go("c1")
    await users.come("b2")
    assert users.at_it == ["b2"]


async def test_who_is_cancelled_just_when_it_has_its_place_gives_it_back() -> None:
    users = Users(Turns(1))
    await users.come("a1", "b1")
    users._let_go["a1"].set()
    await asyncio.sleep(0)  # a1 leaves: b1 has the place, and has not run yet
    users.tasks["b1"].cancel()
    await users.settled()
    await users.come("c1")
    assert users.at_it == ["c1"]
