"""No fail point is left out, and no fault is too seldom: what the tables of scenarios come to."""

import re
from pathlib import Path

from tests.faults.scenarios import SCENARIOS
from tests.faults.scenarios.fail_points import PLACES
from tests.faults.scenarios.rebuilds import PHASES
from tests.faults.scenarios.zombies import TURNS
from tests.faults.system import SERVICES

SOURCES = Path(__file__).parents[2] / "services"
CALL = re.compile(r'fail_point\(f?"([^"]+)"\)')
OF_OPERATORS = ("restore.", "import.", "export.", "rebuild.", "sweep.")
KILLS_OF_EACH = 10


def test_every_fail_point_is_met_by_sigkill_and_by_sigstop() -> None:
    stopped_at = [place for turn in TURNS for place in turn.items()]
    assert sorted(stopped_at) == sorted(PLACES)
    named = {name for file in SOURCES.rglob("*.py") for name in CALL.findall(file.read_text())}
    assert {name for name in named if not name.startswith(OF_OPERATORS)} == {p for _, p in PLACES}
    of_rebuild = {name for name in named if name.startswith("rebuild.") and "{" not in name}
    assert of_rebuild <= {f"rebuild.{phase}" for phase in PHASES}


def test_every_service_is_killed_often_in_one_run() -> None:
    [kills] = [scenario for scenario in SCENARIOS if scenario.name == "kills"]
    assert kills.short >= KILLS_OF_EACH * len(SERVICES)


def test_the_long_forms_are_about_a_thousand_faults() -> None:
    assert 950 <= sum(scenario.long for scenario in SCENARIOS) <= 1100
