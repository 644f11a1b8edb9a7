"""The short form of every scenario; `make chaos` plays the long one."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.local.stack import Stack
from tests.faults.scenario import Scenario, play
from tests.faults.scenarios import SCENARIOS

SEED = 20261124


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """For a stack of its own: also another user, as which Postgres may run, can reach it."""
    with TemporaryDirectory(prefix="stack-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_nothing_is_lost_or_doubled(
    scenario: Scenario,
    stack: Stack,
    template_database: str,
    own_folder: Path,
    tmp_path: Path,
) -> None:
    if stack.kafka is None and scenario.breaks_the_stack:
        pytest.skip("the stack was given from outside: it is not ours to break")
    if reason := scenario.impossible():
        pytest.skip(reason)
    with scenario.stack(own_folder) if scenario.stack else nullcontext(stack) as broken:
        played = await play(
            scenario,
            broken,
            tmp_path,
            seed=SEED,
            faults=scenario.short,
            template=template_database if broken is stack else None,
        )
    assert not played.verdict.violations, f"seed {SEED}: {played.verdict.violations[:20]}"
    assert sum(played.verdict.faults.values()) >= scenario.short
    assert played.verdict.accepted > 10
    assert played.verdict.reads > 10
