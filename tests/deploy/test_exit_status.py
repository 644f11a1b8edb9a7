"""How a part ended is known, also when it was us who ended it."""

import signal
import sys
from pathlib import Path

import pytest

from deploy.local.process import ChildProcess

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
POLITE = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"


@pytest.mark.parametrize(
    ("manners", "status"), [("", -signal.SIGTERM), (POLITE, 3), (DEAF, -signal.SIGKILL)]
)
def test_stopped(tmp_path: Path, manners: str, status: int) -> None:
    part = _started(tmp_path, manners)
    part.stop(timeout=1)
    assert part.exit_status == status


def test_killed(tmp_path: Path) -> None:
    part = _started(tmp_path, "")
    part.kill()
    assert part.exit_status == -signal.SIGKILL


def _started(folder: Path, manners: str) -> ChildProcess:
    part = ChildProcess("part", folder, folder / "part.log", signal.SIGTERM)
    program = f"{manners}\nprint('up', flush=True)\nimport time\ntime.sleep(60)"
    part.start([sys.executable, "-c", program])
    part.wait_until(lambda: "up" in part.log.read_text(), timeout=10)
    return part
