"""Object keys: what a safe one looks like."""

import re

from services.core.storage.errors import InvalidKey

MAX_KEY_LENGTH = 512

# A segment never starts with a dot, so "." and ".." and hidden files are out by construction.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,15}}")
_PREFIX = re.compile(rf"(?:{_SEGMENT}(?:/{_SEGMENT}){{0,15}}/?)?")


def validated_key(key: str) -> str:
    """Return `key` unchanged if it is relative, normal and made of `A-Z a-z 0-9 . _ - /`.

    Raises InvalidKey otherwise.
    """
    if len(key) > MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
        raise InvalidKey(key)
    return key


def validated_prefix(prefix: str) -> str:
    """Return `prefix`, which is empty or a valid key with an optional slash at its end.

    Raises InvalidKey otherwise.
    """
    if len(prefix) > MAX_KEY_LENGTH or _PREFIX.fullmatch(prefix) is None:
        raise InvalidKey(prefix)
    return prefix
