"""Cursors of the organization's feed: how far a reader has come in each partition of the log.

Each partition enters the read models in the order of its offsets, and its records keep their
offsets for ever: a reader that names the last record it has passed in each can never miss one,
whatever the partitions' order between them. One number for all of them could not say that.

A cursor is signed and belongs to one organization. It is of one log too: in another cluster the
same events have other offsets. So it carries a mark of each record that it names.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from services.api.pagination import SIGNATURE_BYTES, as_bytes, as_text
from services.core.readmodel.positions import Partition

_MARK_BYTES = 2
_MORE, _BITS = 0x80, 7


class Seen(NamedTuple):
    """The last record of a partition that a reader has passed, and the mark of its event."""

    offset: int
    mark: bytes


FeedPosition: TypeAlias = Mapping[Partition, Seen]
"""A partition that isn't there was not begun."""

BEGINNING: FeedPosition = {}


class NotAFeedCursor(ValueError):
    """It is forged, damaged, or of another organization."""


def mark_of(event_id: str) -> bytes:
    """Tells most events apart; "" for a record that has no id."""
    return hashlib.sha256(event_id.encode()).digest()[:_MARK_BYTES]


@dataclass(frozen=True, slots=True)
class FeedCursors:
    """Writes and reads cursors; `secret` is ours alone.

    `topics` may only ever grow: a cursor names them by their place.
    """

    secret: bytes
    topics: Sequence[str]

    def text(self, organization_id: str, position: FeedPosition) -> str:
        """URL-safe; about 120 characters when twelve partitions were begun."""
        of_topics: dict[str, dict[int, Seen]] = {topic: {} for topic in self.topics}
        for (topic, partition), seen in position.items():
            of_topics[topic][partition] = seen
        content = b"".join(map(_written, of_topics.values()))
        return as_text(self._signature(organization_id, content) + content)

    def read(self, organization_id: str, text: str) -> FeedPosition:
        """Raises NotAFeedCursor."""
        decoded = as_bytes(text)
        signature, content = decoded[:SIGNATURE_BYTES], decoded[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(organization_id, content)):
            raise NotAFeedCursor(text)
        left = iter(content)
        return {
            Partition(topic, partition): seen
            for topic in self.topics
            for partition, seen in _read(left)
        }

    def _signature(self, organization_id: str, content: bytes) -> bytes:
        message = organization_id.encode() + b"\x00" + content
        return hmac.digest(self.secret, message, "sha256")[:SIGNATURE_BYTES]


def _written(of_topic: Mapping[int, Seen]) -> bytes:
    """How many partitions, and for each 0, or the offset behind its record and the mark."""
    count = max(of_topic, default=-1) + 1
    return _varint(count) + b"".join(_entry(of_topic.get(number)) for number in range(count))


def _entry(seen: Seen | None) -> bytes:
    return _varint(seen.offset + 1) + seen.mark if seen else _varint(0)


def _read(content: Iterator[int]) -> Iterator[tuple[int, Seen]]:
    """Of one topic: partition and what was seen there."""
    for partition in range(_number(content)):
        behind = _number(content)
        if behind:
            yield partition, Seen(behind - 1, bytes(next(content) for _ in range(_MARK_BYTES)))


def _varint(number: int) -> bytes:
    """LEB128, unsigned."""
    written = bytearray()
    while number >= _MORE:
        written.append(number & (_MORE - 1) | _MORE)
        number >>= _BITS
    written.append(number)
    return bytes(written)


def _number(content: Iterator[int]) -> int:
    """The next varint; 0 behind the end, where an older cursor lacks a topic."""
    number = shift = 0
    for byte in content:
        number |= (byte & (_MORE - 1)) << shift
        shift += _BITS
        if byte < _MORE:
            break
    return number
