"""Where an object store is: the kinds of URL that name one."""

from urllib.parse import urlsplit


def checked_store_url(url: str) -> str:
    """`file:///folder`, `s3://bucket/prefix` or `memory://`, as it is. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("file", "s3", "memory"):
        raise ValueError(f"a store's URL starts with file://, s3:// or memory://, got {url!r}")
    if parts.scheme == "file" and (parts.netloc not in ("", "localhost") or not parts.path):
        raise ValueError(f"a file URL has three slashes (file:///folder), got {url!r}")
    if parts.scheme == "s3" and not parts.netloc:
        raise ValueError(f"an S3 URL names its bucket (s3://bucket/prefix), got {url!r}")
    return url
