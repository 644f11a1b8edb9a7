"""Runs a service whose wall clock is off by as many seconds as a file says.

`python -m tests.faults.skewed FILE services.api`
"""

import runpy
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from services.core import clock


def main() -> None:
    offset = _offset_in(Path(sys.argv[1]))
    real_time, real_time_ns, real_clock = time.time, time.time_ns, clock.system_clock

    def system_clock() -> datetime:
        return real_clock() + timedelta(seconds=offset())

    # Before any module of the service takes them.
    clock.system_clock = system_clock
    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: real_time_ns() + int(offset() * 1e9)
    module = sys.argv[2]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _offset_in(file: Path) -> Callable[[], float]:
    """Looks at the file at most ten times a second."""
    read_at, value = 0.0, 0.0

    def offset() -> float:
        nonlocal read_at, value
        if time.monotonic() - read_at > 0.1:
            read_at = time.monotonic()
            value = float(file.read_text() or 0)
        return value

    return offset


if __name__ == "__main__":
    main()
