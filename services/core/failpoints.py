"""Named places where a test may end the process, as a crash or `kill -9` would, or stop it.

Off unless the environment names them: `FAIL_AT=rebuild.fill` ends the process when it first comes
by, `FAIL_AT=rebuild.fill:3` the third time; `STOP_AT` stops it (SIGSTOP) in the same way. Several
are separated by commas. Standard error says which it was.
"""

import os
import signal
from collections import Counter

SIGNALS = {"FAIL_AT": signal.SIGKILL, "STOP_AT": signal.SIGSTOP}

_passed: Counter[str] = Counter()


def fail_point(name: str) -> None:
    """Returns at once unless the environment says that the process ends or stops here."""
    wanted = {variable: os.environ[variable] for variable in SIGNALS if variable in os.environ}
    if wanted:
        _passed[name] += 1
    for variable, places in wanted.items():
        if _passed[name] == _passes(places).get(name):
            os.write(2, f"{met(name)}\n".encode())
            os.kill(os.getpid(), SIGNALS[variable])


def met(name: str) -> str:
    """What is said at the fail point before it takes effect."""
    return f"fail point {name} was met"


def _passes(wanted: str) -> dict[str, int]:
    """The name of each fail point to the pass that is its last."""
    named = (place.partition(":") for place in wanted.split(","))
    return {name: int(count or 1) for name, _, count in named}
