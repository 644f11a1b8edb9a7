"""The states of the streams that were folded last: what is at hand needn't be read again."""

from collections.abc import Iterable
from itertools import islice

from services.core.readmodel.apply import Changes, JobStream
from services.core.readmodel.records import StreamId

KEPT = 4000


class RecentStates:
    """By key. A state may be older than its row, which an append may move on at any time: what is
    folded from it is the same, and older rows are never written over newer ones.

    It must not be older than the position, so: `clear` whenever a batch did not fit or could not
    be written, and `forget` streams in quarantine, which somebody else may take further.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._states: dict[str, JobStream] = {}

    def among(self, keys: Iterable[str]) -> dict[str, JobStream]:
        """The states that are at hand of the streams with `keys`."""
        return {key: self._states[key] for key in keys if key in self._states}

    def remember(self, changes: Changes) -> None:
        """Keeps the states after `changes`, and drops those that changed least recently."""
        for key, state in changes.streams.items():
            self._states.pop(key, None)
            self._states[key] = state
        self.forget(changes.parked)
        excess = max(0, len(self._states) - self._kept)
        for key in list(islice(self._states, excess)):
            del self._states[key]

    def forget(self, streams: Iterable[StreamId]) -> None:
        for stream in streams:
            self._states.pop(stream.key, None)

    def clear(self) -> None:
        self._states.clear()
