"""What can go wrong in the object store, as types that carry what a caller needs to answer."""


class StorageError(Exception):
    """Base of everything the storage package raises on purpose."""


class ObjectNotFound(StorageError):
    """No object has this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object named {key!r}")
        self.key = key


class InvalidKey(StorageError):
    """The key could not be a safe object name; nothing was read or written."""

    def __init__(self, key: str) -> None:
        super().__init__(f"not a valid object key: {key!r}")
        self.key = key


class RangeNotSatisfiable(StorageError):
    """The byte range asked for lies outside the object."""

    def __init__(self, key: str, start: int, end: int) -> None:
        super().__init__(f"bytes {start}..{end} are not in {key!r}")
        self.key = key
        self.start = start
        self.end = end


class StorageUnavailable(StorageError):
    """The store could not be reached or refused; the same call may succeed later."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"{operation} failed: {reason}")
        self.operation = operation
        self.reason = reason


class ImageUnreadable(StorageError):
    """The bytes to be stored as an image are not an image we accept."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a readable image: {reason}")
        self.reason = reason
