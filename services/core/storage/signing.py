"""Signed, expiring URL paths for media."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

_SIGNATURE_BYTES = 16
"""128 bits: out of reach for guessing, and short enough for a URL."""


def sign_path(path: str, key: bytes, expires_at: int) -> str:
    """Return `path?expires=…&signature=…`, valid until `expires_at` (Unix seconds).

    `path` has no query of its own.
    """
    return f"{path}?expires={expires_at}&signature={_signature(path, str(expires_at), key)}"


def verify(path: str, expires: str, signature: str, key: bytes, now: int) -> bool:
    """Say whether `expires` and `signature`, as they came in a URL, let `path` be read at `now`.

    Anything malformed is simply not valid; no input raises. The comparison takes the same time
    however much of the signature is right.
    """
    genuine = hmac.compare_digest(
        _signature(path, expires, key).encode("ascii"),
        signature.encode("utf-8", "surrogatepass"),
    )
    return genuine and _is_in_future(expires, now)


def _signature(path: str, expires: str, key: bytes) -> str:
    message = f"{expires}\n{path}".encode("utf-8", "surrogatepass")
    digest = hmac.new(key, message, sha256).digest()[:_SIGNATURE_BYTES]
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _is_in_future(expires: str, now: int) -> bool:
    # A genuine signature covers only what sign_path wrote, so this never sees a strange number.
    return expires.isascii() and expires.isdigit() and now < int(expires)
