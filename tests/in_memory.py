"""Where the run's Postgres and Kafka have their data: in memory, if there is room for it.

Every test makes topics of its own, 37 partitions each, and Kafka forces the files of each partition
to the disk: on a slow one it is half a minute behind with that. What tests kill is processes, never
the machine, and what a process has written outlives it in memory too.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

MEMORY = Path("/dev/shm")
NEEDED = 6 * 1024**3
"""Bytes: several times what a run leaves there."""
PREFIX = "influencer-tests-"


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A new folder, in memory if possible; gone afterwards."""
    remove_leftovers(MEMORY)
    with TemporaryDirectory(prefix=PREFIX, dir=MEMORY if has_room(MEMORY) else None) as folder:
        yield Path(folder)


def has_room(memory: Path) -> bool:
    try:
        free = shutil.disk_usage(memory).free
    except OSError:  # not everywhere is there such a folder
        return False
    return min(free, psutil.virtual_memory().available) >= NEEDED


def remove_leftovers(memory: Path) -> None:
    """Those of runs that were killed: the kernel has freed the locks of their stacks."""
    for folder in memory.glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
