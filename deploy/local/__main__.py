"""`make run`: everything on this machine, in the foreground until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from deploy.local.errors import LocalStackError
from deploy.local.process import raise_if_disk_full
from deploy.local.supervisor import Supervisor


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    # Also when a script started us in the background, where SIGINT begins as ignored.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.default_int_handler)
    try:
        run(Supervisor(state_directory(), requested_api_port(), console))
    except KeyboardInterrupt:
        console.print("Stopped; everything is kept for the next start.")
    except LocalStackError as error:
        console.print(f"\n[bold red]{error.problem}[/]")
        console.print(error.remedy, markup=False)
        return 1
    return 0


def run(supervisor: Supervisor) -> None:
    try:
        with supervisor.running():
            supervisor.watch()
    except OSError as error:
        raise_if_disk_full(error, state_directory())
        raise


def state_directory() -> Path:
    return Path(os.environ.get("STATE_DIR") or ".local").expanduser().resolve()


def requested_api_port() -> int:
    text = os.environ.get("API_PORT") or "8080"
    if not text.isdigit() or int(text) > 65535:
        raise LocalStackError(f"API_PORT={text} is no port.", "Use 0 (any free) to 65535.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
