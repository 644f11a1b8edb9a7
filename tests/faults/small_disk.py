"""A file system of its own that is small enough to fill."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
BALLAST = "ballast"
LAZILY = 2
"""MNT_DETACH: what is still open goes on; the name is free at once."""


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    def fill(self) -> None:
        """Until not a byte fits any more."""
        with (self.folder / BALLAST).open("ab", buffering=0) as ballast:
            for size in (MEGABYTE, 4096, 1):
                _write_until_full(ballast.fileno(), bytes(size))

    def free(self) -> None:
        (self.folder / BALLAST).unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """At `folder`, in memory. Raises OSError where we may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m,mode=0755"
    _checked(_libc().mount(b"tmpfs", bytes(folder), b"tmpfs", 0, options.encode()))
    try:
        yield SmallDisk(folder)
    finally:
        _checked(_libc().umount2(bytes(folder), LAZILY))


def why_no_small_disks() -> str | None:
    """None when there can be some."""
    if not sys.platform.startswith("linux"):
        return "a small disk is a tmpfs, which only Linux has"
    try:
        with tempfile.TemporaryDirectory() as name, small_disk(Path(name), 1):
            return None
    except OSError as fault:
        return (
            f"a small disk can't be mounted ({fault.strerror}): run as root, or within"
            " `unshare --user --map-current-user --keep-caps --mount`"
        )


def _write_until_full(file: int, content: bytes) -> None:
    try:
        while os.write(file, content):
            pass
    except OSError:
        return


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
