"""A scenario that does not come to its end is a violation, with what it said."""

import asyncio
from typing import Any, cast

import pytest

from tests.faults.arena import Arena
from tests.faults.rules import rule_of
from tests.faults.scenario import Scenario, failure_of


async def fail(*_: object) -> None:
    raise AssertionError("the api is not ready")


async def hang(*_: object) -> None:
    await asyncio.Event().wait()


async def end(*_: object) -> None:
    return


@pytest.mark.parametrize(
    ("run", "said"), [(fail, "the api is not ready"), (hang, "TimeoutError"), (end, None)]
)
async def test_a_scenario_that_fails_is_named(run: Any, said: str | None) -> None:
    arena = cast(Arena, None)
    failure = await failure_of(Scenario("one", run), arena, faults=1, limit=0.05)
    if said is None:
        assert failure is None
    else:
        assert failure is not None
        assert rule_of(failure) == "scenario-failed"
        assert said in failure
