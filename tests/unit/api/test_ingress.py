"""A turn of the event loop begins a few requests, in the order in which they came."""

import asyncio

from services.api.ingress import Ingress


async def turns(begun: list[int], ingress: Ingress, count: int) -> list[int]:
    """How many of `count` requests, that come at once, have begun after each turn."""
    for number in range(count):
        ingress.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
    seen = [len(begun)]
    while len(begun) < count:
        await asyncio.sleep(0)
        seen.append(len(begun))
    return seen


async def test_a_few_begin_at_once_and_a_few_in_each_turn() -> None:
    begun = list[int]()
    assert await turns(begun, Ingress(4), 10) == [4, 8, 10]
    assert begun == list(range(10))


async def test_nobody_overtakes_who_waits() -> None:
    ingress, begun = Ingress(2), list[int]()
    for number in range(5):
        ingress.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
    await asyncio.sleep(0)
    ingress.begin(lambda: begun.append(5))
    for _ in range(3):
        await asyncio.sleep(0)
    assert begun == list(range(6))


async def test_after_a_turn_without_any_the_next_ones_begin_at_once() -> None:
    ingress, begun = Ingress(2), list[int]()
    assert await turns(begun, ingress, 3) == [2, 3]
    for _ in range(3):
        await asyncio.sleep(0)
    begun.clear()
    assert await turns(begun, ingress, 2) == [2]
