"""Becomes another program, after tying its life to its parent's and dropping root.

Run by path, in an isolated interpreter, so it imports nothing but the standard library:
python -I -S launch.py '{"parent": …}' program argument…
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    command = sys.argv[2:]
    if "uid" in options:
        drop_root(options["uid"], options["gid"], bool(options["readEverywhere"]))
    # After the change of user, which clears it.
    die_with_parent(options["parent"], options["signal"])
    os.execv(command[0], command)


def die_with_parent(parent: int, signal_number: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def drop_root(uid: int, gid: int, read_everywhere: bool) -> None:
    """Become an ordinary user that may still enter root's folders when it has to.

    A checkout under a folder of mode 700 could not be entered otherwise. The capability must
    survive the change of user, the exec and access(2), hence the three steps.
    """
    capability = searching_capability() if read_everywhere else None
    if capability is not None:
        prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        keep_only(capability)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def searching_capability() -> int | None:
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if prctl(PR_CAPBSET_READ, capability) == 1:
            return capability
    return None


def keep_only(capability: int) -> None:
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    ctypes.CDLL(None, use_errno=True).capset(header, data)


def prctl(*arguments: int) -> int:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[1:5]]
    result: int = ctypes.CDLL(None, use_errno=True).prctl(arguments[0], *padded)
    return result


if __name__ == "__main__":
    main()
