"""Is a file whole, and right? Told before anything of it is written anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.ops.archive.file import DamagedFile, FileState, check_seal, file_state, read_lines
from services.ops.archive.lines import (
    ArchivedRecord,
    Header,
    MalformedLine,
    is_footer,
    read_footer,
    read_header,
    read_record_line,
)
from services.ops.archive.tally import LogFault, Tally


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that is as its export left it. `digest` is its SHA-256, in hex.

    `faults` (the first hundred of `fault_count`) were on the log already when it was exported.
    """

    path: Path
    digest: str
    header: Header
    records: int
    topics: dict[str, int]
    streams: int
    fault_count: int
    faults: tuple[LogFault, ...]
    state: FileState

    def require_unchanged(self, *, whole: bool = False) -> None:
        """That it is the file that was checked; `whole` reads it all again. Raises DamagedFile."""
        if file_state(self.path) != self.state:
            raise DamagedFile("the file was changed after it had been checked")
        if whole and check_seal(self.path) != self.digest:
            raise DamagedFile("the file was changed after it had been checked")


def check_file(path: Path, advance: Callable[[int], None] = lambda _: None) -> CheckedFile:
    """Reads the whole file; `advance` hears of every record. Raises DamagedFile."""
    state = file_state(path)
    digest = check_seal(path)
    lines = _Numbered(read_lines(path))
    try:
        header, tally = _read(lines, advance)
    except MalformedLine as fault:
        raise DamagedFile(f"line {lines.number:,}: {fault}") from fault
    footer = tally.footer()
    return CheckedFile(
        path,
        digest,
        header,
        tally.records,
        footer["topics"],
        footer["streams"],
        tally.fault_count,
        tuple(tally.faults),
        state,
    )


def records_of(path: Path) -> Iterator[ArchivedRecord]:
    """The records of a file that was checked."""
    lines = read_lines(path)
    next(lines)
    for line in lines:
        if is_footer(line):
            return
        yield read_record_line(line)


class _Numbered:
    """`number` is that of the line read last, from 1."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.number = 0
        self._lines = lines

    def __iter__(self) -> "_Numbered":
        return self

    def __next__(self) -> bytes:
        self.number += 1
        return next(self._lines)


def _read(lines: Iterator[bytes], advance: Callable[[int], None]) -> tuple[Header, Tally]:
    first = next(lines, b"")
    header = read_header(first)
    tally = Tally(begins_anywhere=header.selection.since is not None)
    tally.add_line(first)
    for line in lines:
        if is_footer(line):
            _check_footer(line, tally)
            if next(lines, None) is not None:
                raise DamagedFile("there are lines after the footer")
            return header, tally
        tally.add(read_record_line(line), line)
        advance(1)
    raise DamagedFile("the footer is missing")


def _check_footer(line: bytes, tally: Tally) -> None:
    said, counted = read_footer(line), tally.footer()
    if said == counted:
        return
    for name in ("records", "topics", "streams", "faults", "sha256"):
        if not isinstance(said, dict) or said.get(name) != counted[name]:
            written = said.get(name) if isinstance(said, dict) else said
            raise DamagedFile(
                f"the footer says {name} {written}, the lines before it come to {counted[name]}"
            )
    raise DamagedFile("the footer says more than an export writes")
