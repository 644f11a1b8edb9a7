"""SECURITY.md's table: for each item of OWASP's list, the tests that attack it."""

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path("SECURITY.md")
_ROW = re.compile(r"^\| (API\d+) (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[^`]+)`")


@dataclass(frozen=True)
class Item:
    """`tests` are what pytest is asked for: files, or tests of one."""

    number: str
    name: str
    tests: tuple[str, ...]

    def has(self, node_id: str) -> bool:
        """Whether a test that was run, by pytest's id, is one of this item."""
        return any(
            node_id == test or node_id.startswith((f"{test}::", f"{test}[")) for test in self.tests
        )


def items(text: str | None = None) -> list[Item]:
    found = _ROW.findall(text if text is not None else DOCUMENT.read_text(encoding="utf-8"))
    return [
        Item(number, name, tuple(_TEST.findall(tests))) for number, name, _attacks, tests in found
    ]
