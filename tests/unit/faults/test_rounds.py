"""Which rounds are played, and in which order."""

import pytest

from tests.faults.rounds import FAULTS_A_ROUND, rounds
from tests.faults.scenario import Scenario


async def nothing(*_: object) -> None:
    return


SCENARIOS = [
    Scenario("many", nothing, short=4, long=300),
    Scenario("some", nothing, short=4, long=60),
    Scenario("few", nothing, short=4, long=40),
]


def test_each_scenario_has_its_first_round_before_any_has_its_second() -> None:
    names = [one.scenario.name for one in rounds(SCENARIOS, 7, 400)]
    assert set(names[:3]) == {"many", "some", "few"}
    assert names[-1] == "many"
    assert names.index("some", 3) < len(names) - 3


def test_all_faults_are_tried_in_rounds_from_seeds_of_their_own() -> None:
    wanted = rounds(SCENARIOS, 7, 400)
    assert sum(one.faults for one in wanted) == 400
    assert max(one.faults for one in wanted) == FAULTS_A_ROUND
    assert len({(one.scenario.name, one.seed) for one in wanted}) == len(wanted)


@pytest.mark.parametrize(("faults", "tried"), [(None, 100), (30, 30)])
def test_one_scenario_alone_plays_its_share_unless_told_otherwise(
    faults: int | None, tried: int
) -> None:
    alone = rounds(SCENARIOS, 7, faults, only=["few"])
    assert sum(one.faults for one in alone) == tried
    assert {one.scenario.name for one in alone} == {"few"}


def test_a_rounds_command_plays_it_again() -> None:
    for one in rounds(SCENARIOS, 7, 400):
        assert one.command.endswith(
            f'CHAOS="--only {one.scenario.name} --seed {one.seed} --faults {one.faults}"'
        )
        assert rounds(SCENARIOS, one.seed, one.faults, only=[one.scenario.name]) == [one]
