"""What a part writes down from some moment on."""

from dataclasses import dataclass
from pathlib import Path

from tests.waiting import eventually


@dataclass(frozen=True)
class LogFrom:
    """`offset` is where the log ended when it was looked at first."""

    file: Path
    offset: int

    def text(self) -> str:
        if not self.file.exists():
            return ""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read().decode(errors="replace")

    def count(self, words: str) -> int:
        return self.text().count(words)

    async def until_says(self, words: str, times: int = 1, within: float = 30.0) -> None:
        async def is_said() -> bool:
            return self.count(words) >= times

        await eventually(f"{self.file.name} says {words!r}", is_said, within)


def log_from_now(file: Path) -> LogFrom:
    return LogFrom(file, file.stat().st_size if file.exists() else 0)
