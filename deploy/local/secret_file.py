"""Files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_secret(file: Path, secret: str) -> None:
    """Write it whole or not at all, with mode 600 from the first byte on."""
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret)
    partial.replace(file)


def remembered_secret(file: Path) -> str:
    """A random key of 32 bytes in hexadecimal, made once."""
    if not file.exists() or not file.read_text().strip():
        write_secret(file, secrets.token_hex(32))
    return file.read_text().strip()
