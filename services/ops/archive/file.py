"""The file of an export: lines in zstd frames (RFC 8878), and a seal after the last one.

Every frame holds whole lines, so an export that was killed goes on after its last whole frame. The
seal is a skippable frame (RFC 8878, 3.1.2) with the SHA-256 of every byte before it: any other
program that reads zstd passes over it, and no bit of the file can change unnoticed.
"""

import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 4 * 1024 * 1024
"""Of lines in one frame, before compression."""
READ_BYTES = 256 * 1024

_SEAL_HEAD = struct.pack("<II", 0x184D2A50, hashlib.sha256().digest_size)
SEAL_BYTES = len(_SEAL_HEAD) + hashlib.sha256().digest_size
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 6,
    zstd.CompressionParameter.checksum_flag: 1,
}


FileState: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, bytes, and when it and its metadata last changed: another one means a change."""


class DamagedFile(Exception):
    """The file is not what an export has written."""


class LineWriter:
    """Appends lines to `file`; what is not flushed is lost with the process, whole frames stay."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FRAME_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            self._file.write(zstd.compress(b"".join(self._lines), options=_OPTIONS))
            self._file.flush()
            self._lines, self._size = [], 0


def seal(path: Path) -> None:
    """Makes the file whole and durable."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_SEAL_HEAD + digest)
        file.flush()
        os.fsync(file.fileno())


def file_state(path: Path) -> FileState:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def check_seal(path: Path) -> str:
    """The file's SHA-256, in hex. Raises DamagedFile."""
    size = path.stat().st_size - SEAL_BYTES
    with path.open("rb") as file:
        file.seek(max(0, size))
        found = file.read()
    if size < 0 or not found.startswith(_SEAL_HEAD):
        raise DamagedFile("the file's end is missing or damaged: it was cut off, or never finished")
    digest = _digest(path, size)
    if digest != found[len(_SEAL_HEAD) :]:
        raise DamagedFile("the file was changed: its hash is not the one in its seal")
    return digest.hex()


def read_lines(path: Path) -> Iterator[bytes]:
    """Every line, with its line feed. Raises DamagedFile."""
    for _, lines in _frames(path):
        yield from lines


def whole_frames(path: Path) -> tuple[int, Iterator[bytes]]:
    """How many bytes of an unfinished file are whole frames, and the lines in those."""
    end = 0
    try:
        for place, lines in _frames(path):
            end = place if lines else end
    except DamagedFile:
        pass
    return end, (line for _, lines in _frames(path, end) for line in lines)


def _frames(path: Path, stop: int | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Each frame's end in the file, and its lines."""
    with path.open("rb") as file:
        end, pending = 0, b""
        while (stop is None or end < stop) and (pending or (pending := file.read(READ_BYTES))):
            decompressor = zstd.ZstdDecompressor()
            content, begin = [], end
            try:
                while not decompressor.eof:
                    if not pending and not (pending := file.read(READ_BYTES)):
                        raise DamagedFile(f"the file is cut off within the frame at byte {begin:,}")
                    content.append(decompressor.decompress(pending))
                    end += len(pending) - len(decompressor.unused_data)
                    pending = decompressor.unused_data
            except zstd.ZstdError as fault:
                raise DamagedFile(f"the frame at byte {begin:,} is damaged: {fault}") from fault
            yield end, b"".join(content).splitlines(keepends=True)


def _digest(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (read := file.read(min(READ_BYTES, size))):
            digest.update(read)
            size -= len(read)
    return digest.digest()
