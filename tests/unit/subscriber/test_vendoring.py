"""The library can be taken away: copied under another name, it needs `schemas` and what is told."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/subscribing.md"
NEEDED = ("aiokafka", "pydantic", "python-ulid")
IMPORT = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ImportError(name + " is not for those who took the library away")

sys.meta_path.insert(0, Refusal())
sys.path.insert(0, {folder!r})
import taken
import taken.conformance.__main__
assert taken.Subscriber.__module__ == "taken.subscriber"
"""


def test_copied_elsewhere_it_works_without_the_rest(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "services/core/subscriber", tmp_path / "taken")
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    code = IMPORT.format(refused=refused(), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_document_says_what_to_install() -> None:
    assert f"pip install {' '.join(NEEDED)}\n" in DOCUMENT.read_text()


def refused() -> set[str]:
    """The modules of everything that is installed here and would not come along."""
    along = set(NEEDED)
    while more := {name for one in along for name in _required(one)} - along:
        along |= more
    modules = packages_distributions().items()
    return {module for module, of in modules if not along & set(map(_normal, of))} | {"services"}


def _required(distribution: str) -> set[str]:
    """Without what is only for extras."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:  # of another platform
        return set()
    return {
        _normal(re.split(r"[^\w.-]", line, maxsplit=1)[0])
        for line in lines
        if "extra ==" not in line
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
