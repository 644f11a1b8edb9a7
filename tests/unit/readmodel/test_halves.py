"""A batch that is cut in two: every record is in one half, and the positions meet."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.core.readmodel.positions import Move, Partition
from services.core.readmodel.project import Batch, halves
from services.core.readmodel.records import LogRecord, StreamId


def batch_of(lengths: list[int]) -> Batch:
    """Partitions of those lengths, read from position 5, the first record at 7."""
    records, moves = [], {}
    for partition, length in enumerate(lengths):
        for offset in range(7, 7 + length):
            records.append(LogRecord(StreamId("t", ""), partition, offset, (), None, None))
        moves[Partition("t", partition)] = Move(5, 7 + length)
    return Batch(records, moves)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 1))
def test_halves_follow_each_other(lengths: list[int]) -> None:
    whole = batch_of(lengths)
    first, second = halves(whole)

    assert [*first.records, *second.records] == whole.records
    assert first.records
    assert second.records
    for partition, move in whole.moves.items():
        parts = [half.moves[partition] for half in (first, second) if partition in half.moves]
        assert parts[0].expected == move.expected
        assert parts[-1].next_offset == move.next_offset
        assert all(a.next_offset == b.expected for a, b in pairwise(parts))
