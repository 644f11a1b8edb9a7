"""Whether two requests take the same time, told on a machine that has other things to do."""

import gc
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

ROUNDS = 150
TRIES = 4
TELLING = 0.12
"""The part of a request's time that a stranger could learn something from."""
NOT_TELLING = 0.00015
"""Seconds below which nobody tells a difference through a network from some hundred requests."""

Ask = Callable[[], Awaitable[Any]]


async def same_time(one: Ask, other: Ask) -> None:
    """Raises AssertionError when one of them takes longer every time it is looked at.

    They take turns, in both orders, so that what else the machine does hits both; and medians are
    compared. Noise has no side: a difference that is one is there again in each try.
    """
    differences = []
    for _ in range(TRIES):
        first, second = await _medians(one, other)
        difference = first - second
        if abs(difference) < max(TELLING * min(first, second), NOT_TELLING):
            return
        differences.append(difference)
        if min(differences) < 0 < max(differences):
            return
    raise AssertionError(f"slower by {median(differences) * 1000:.3f} ms: {differences}")


async def _medians(one: Ask, other: Ask) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = [], []
    gc.collect()
    for turn in range(ROUNDS):
        order = ((one, 0), (other, 1)) if turn % 2 else ((other, 1), (one, 0))
        for ask, place in order:
            begun = perf_counter()
            await ask()
            taken[place].append(perf_counter() - begun)
    return median(taken[0]), median(taken[1])
