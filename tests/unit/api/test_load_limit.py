"""Who gets a seat, who waits, who is told to come back."""

import asyncio
from collections import Counter

import pytest

from services.api.errors import Overloaded
from services.api.load_limit import LoadBounds, LoadLimit, Seat

SEATS, WAITING = 20, 10


class Crowd:
    """Requests at a limit; those of `seated` have a seat, in the order in which they got it."""

    def __init__(self, seats: int = SEATS, waiting: int = WAITING, patience: float = 60.0) -> None:
        self.limit = LoadLimit("test", LoadBounds(seats, waiting, patience))
        self.seated: list[str] = []
        self.shed: Counter[str] = Counter()

    async def come(self, organization: str, count: int = 1) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._enter(organization)) for _ in range(count)]
        await self.settled()
        return tasks

    async def leave(self, organization: str) -> None:
        self.seated.remove(organization)
        self.limit.leave(organization)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _enter(self, organization: str) -> None:
        try:
            await self.limit.enter(organization)
        except Overloaded:
            self.shed[organization] += 1
        else:
            self.seated.append(organization)


async def test_the_only_organization_has_most_seats_and_then_waits_and_then_is_told() -> None:
    crowd = Crowd()
    await crowd.come("noisy", 40)
    assert len(crowd.seated) == SEATS - SEATS // 5
    # Of the room to wait, half: the other half is for others.
    assert crowd.shed["noisy"] == 40 - 16 - WAITING // 2


async def test_another_one_gets_a_seat_however_many_wait() -> None:
    crowd = Crowd()
    await crowd.come("noisy", 40)
    await crowd.come("quiet", 2)
    assert crowd.seated[-2:] == ["quiet", "quiet"]
    assert not crowd.shed["quiet"]


async def test_beside_another_one_nobody_has_more_than_its_part_of_a_quarter() -> None:
    crowd = Crowd(seats=40)
    await crowd.come("noisy", 40)
    await crowd.come("quiet")
    for _ in range(32):
        await crowd.leave("noisy")
    assert Counter(crowd.seated) == {"noisy": 5, "quiet": 1}
    await crowd.come("quiet", 10)
    assert Counter(crowd.seated) == {"noisy": 5, "quiet": 5}


async def test_many_organizations_have_two_seats_each_while_there_are_some() -> None:
    crowd = Crowd()
    for number in range(SEATS):
        await crowd.come(f"organization {number}", 3)
    seats = Counter(crowd.seated)
    assert crowd.limit.taken == SEATS
    assert {seats[f"organization {number}"] for number in range(4, 8)} == {2}


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    crowd = Crowd(patience=0.05)
    await crowd.come("noisy", 16)
    waiting = await crowd.come("noisy", 3)
    await asyncio.wait(waiting, timeout=5)
    assert crowd.shed == {"noisy": 3}
    (later,) = await crowd.come("noisy")
    await crowd.leave("noisy")
    assert later.done()
    assert len(crowd.seated) == 16


async def test_in_a_queue_that_stands_the_newest_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("services.api.load_limit._now", lambda: now)
    crowd = Crowd(waiting=100, patience=10.0)
    await crowd.come("noisy", 16)
    tasks = await crowd.come("noisy", 5)
    now = 1.0
    await crowd.leave("noisy")
    assert [task.done() for task in tasks] == [True, False, False, False, False]
    now = 3.0
    await crowd.leave("noisy")
    assert [task.done() for task in tasks] == [True, False, False, False, True]
    for _ in range(3):
        await crowd.leave("noisy")
    (late,) = await crowd.come("noisy")
    now = 3.1
    await crowd.come("noisy")
    await crowd.leave("noisy")
    assert late.done()  # the queue was empty meanwhile


async def test_who_gives_up_leaves_no_gap() -> None:
    crowd = Crowd()
    await crowd.come("noisy", 16)
    (waiting,) = await crowd.come("noisy")
    waiting.cancel()
    await crowd.settled()
    await crowd.come("noisy")
    await crowd.leave("noisy")
    assert len(crowd.seated) == crowd.limit.taken == 16


async def test_who_is_cancelled_just_when_it_has_its_seat_gives_it_back() -> None:
    crowd = Crowd()
    await crowd.come("noisy", 16)
    (waiting,) = await crowd.come("noisy")
    crowd.limit.leave("noisy")
    waiting.cancel()
    await crowd.settled()
    assert crowd.limit.taken == 15


async def test_a_seat_is_free_while_its_request_waits_for_something_else() -> None:
    limit = LoadLimit("test", LoadBounds(SEATS))
    seat = Seat(limit, "one")
    await seat.take()
    assert limit.taken == 1
    async with seat.left():
        assert limit.taken == 0
    assert limit.taken == 1
    seat.leave()
    seat.leave()
    assert limit.taken == 0


async def test_who_comes_back_from_waiting_may_find_none() -> None:
    crowd = Crowd(seats=4, waiting=1)
    seat = Seat(crowd.limit, "one")
    await seat.take()
    with pytest.raises(Overloaded):
        async with seat.left():
            await crowd.come("one", 10)
    seat.leave()
    assert crowd.limit.taken == len(crowd.seated)
