"""What can go wrong with the local stack, each with what to do about it."""

from __future__ import annotations

from pathlib import Path


class LocalStackError(Exception):
    """A problem a person can act on; shown as one message, without a traceback."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


class PortInUseError(LocalStackError):
    def __init__(self, port: int, purpose: str, remedy: str | None = None) -> None:
        super().__init__(
            f"Port {port} ({purpose}) is already in use.",
            remedy or "Stop the program that listens there, or choose another port.",
        )
        self.port = port


class RegistryUnreachableError(LocalStackError):
    def __init__(self, what: str, repository: str, reason: str) -> None:
        super().__init__(
            f"Could not download {what} from {repository}: {reason}",
            "Check the network or proxy, or name a mirror in MAVEN_REPOSITORY_URL; "
            "what was downloaded so far is kept.",
        )


class CorruptDownloadError(LocalStackError):
    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} does not have the checksum written in the lock file.",
            "The mirror serves a different file; nothing was installed. Try another mirror.",
        )


class DiskFullError(LocalStackError):
    def __init__(self, directory: Path, needed_mb: int | None = None) -> None:
        amount = f"at least {needed_mb} MB" if needed_mb else "some space"
        super().__init__(
            f"The disk of {directory} is full.",
            f"Free {amount}, or move the stack with STATE_DIR=/another/folder.",
        )


class AlreadyRunningError(LocalStackError):
    def __init__(self, state_directory: Path) -> None:
        super().__init__(
            f"Another stack is already running in {state_directory}.",
            "Stop it first, or use STATE_DIR=/another/folder API_PORT=0 for a second one.",
        )


class PartFailedError(LocalStackError):
    """A part did not start, or did not get ready in time."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        super().__init__(f"{part} {reason}.", f"Its log is {log}; the end of it:\n{log_tail(log)}")


def log_tail(log: Path, lines: int = 12) -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
