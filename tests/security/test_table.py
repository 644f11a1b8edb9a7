"""What SECURITY.md says of our tests is so, and `make security` finds what gets through."""

import ast
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults.scenarios import SCENARIOS
from tests.security.__main__ import Outcomes, show
from tests.security.table import Item, items

ITEMS = items()


def test_every_item_of_the_list_is_attacked() -> None:
    assert [item.number for item in ITEMS] == [f"API{number}" for number in range(1, 11)]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.number)
def test_every_test_that_is_named_exists(item: Item) -> None:
    assert item.tests
    for named in item.tests:
        file, _, test = named.partition("::")
        assert Path(file).is_file(), named
        name, _, case = test.removesuffix("]").partition("[")
        if name:
            assert name in functions(file), named
        if case:
            assert case in [scenario.name for scenario in SCENARIOS], named


def functions(file: str) -> set[str]:
    return {
        node.name
        for node in ast.parse(Path(file).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_attack_of_ours_is_in_the_table() -> None:
    named = {test for item in ITEMS for test in item.tests}
    ours = {str(file) for file in Path("tests/security").glob("test_*.py")}
    assert ours - named == {"tests/security/test_table.py"}


def test_a_row_that_can_not_be_read_would_be_missed() -> None:
    text = Path("SECURITY.md").read_text()
    assert len(ITEMS) == len(re.findall(r"^\| API\d", text, re.MULTILINE))


class Report:
    def __init__(self, nodeid: str, outcome: str) -> None:
        self.nodeid, self.outcome, self.duration = nodeid, outcome, 1.0
        self.failed = outcome == "failed"


def test_what_gets_through_is_in_the_printed_table() -> None:
    item = Item("API1", "Objects", ("tests/a.py", "tests/b.py::test_x"))
    outcomes = Outcomes()
    for node_id, outcome in (
        ("tests/a.py::test_y[1]", "passed"),
        ("tests/a.py::test_y[2]", "failed"),
        ("tests/a.py::test_y[2]", "passed"),  # its teardown
        ("tests/b.py::test_x[1]", "skipped"),
        ("tests/b.py::test_x[1]", "passed"),
        ("tests/b.py::test_xx", "passed"),
    ):
        outcomes.pytest_runtest_logreport(Report(node_id, outcome))  # type: ignore[arg-type]
    console = Console(record=True, width=120, quiet=False)
    show([item], outcomes, console)
    printed = console.export_text()
    assert re.search(r"API1 Objects\D+3\D+1\D+1\D+1\D+5", printed), printed
    assert "violation: tests/a.py::test_y[2]" in printed
