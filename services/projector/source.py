"""The log as batches, read from the positions that Postgres holds.

A consumer's own position is never trusted: it may be live, and wrong, before a rebalance is
announced. So the source keeps in mind where each partition's next record must be, and every
batch says which position it moves from; the transaction compares that with Postgres.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.structs import ConsumerRecord

from services.core.postgres import Pool, acquire
from services.core.readmodel.positions import (
    Move,
    Partition,
    Position,
    PositionMoved,
    read_positions,
)
from services.core.readmodel.project import NOTHING, Batch
from services.core.readmodel.records import LogRecord, read_record

POLL_MS = 200
DECODE_SLICE = 250


class RebalanceHint(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers that partitions were assigned. A hint: each batch is checked anyway."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()
        self.is_stale = True

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.is_stale = True

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.is_stale = True
        self.assigned.set()


class BatchSource:
    """Reads ahead: the next batch may be fetched before the last one is applied."""

    def __init__(
        self, consumer: AIOKafkaConsumer, pool: Pool, hint: RebalanceHint, batch_size: int
    ) -> None:
        self._consumer = consumer
        self._pool = pool
        self._hint = hint
        self._batch_size = batch_size
        self._next: dict[TopicPartition, Position] = {}

    @property
    def is_settled(self) -> bool:
        """Whether reading may go on; if not, `settle` once nothing that was read is under way."""
        return not self._hint.is_stale

    def distrust(self) -> None:
        """A batch did not fit: look at the recorded positions before reading on."""
        self._hint.is_stale = True

    async def settle(self) -> None:
        """Goes to the recorded positions of what is assigned now. Raises DependencyUnavailable."""
        self._hint.is_stale = False
        assigned = self._consumer.assignment()
        partitions = [Partition(*partition) for partition in sorted(assigned)]
        async with acquire(self._pool) as connection:
            positions = await read_positions(connection, partitions)
        if self._consumer.assignment() != assigned:
            self._hint.is_stale = True
            return
        self._next = {TopicPartition(*held): position for held, position in positions.items()}
        for partition, position in self._next.items():
            self._consumer.seek(partition, position.next_offset)

    async def read(self) -> Batch:
        """The next records, none if there are none for a moment."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=self._batch_size)
        except NoOffsetForPartitionError:  # reassigned, and nobody has sought yet
            self.distrust()
            fetched = {}
        if not self.is_settled:
            return NOTHING
        moves = self._moves(fetched)
        return Batch(await _decoded(fetched.values()), moves)

    def _moves(
        self, fetched: Mapping[TopicPartition, list[ConsumerRecord]]
    ) -> dict[Partition, Move]:
        moves = {}
        for partition, records in fetched.items():
            expected = self._next.get(partition)
            if expected is None or records[0].offset < expected.next_offset:
                raise PositionMoved([Partition(*partition)])
            # Markers take offsets too, so the first record may lie behind the position.
            behind = records[-1].offset + 1
            self._next[partition] = expected._replace(next_offset=behind)
            moves[Partition(*partition)] = Move(expected.next_offset, behind, expected.build)
        return moves


async def _decoded(fetched: Iterable[list[ConsumerRecord]]) -> list[LogRecord]:
    """Decodes in slices, so that a transaction under way gets its turns."""
    decoded: list[LogRecord] = []
    for records in fetched:
        for start in range(0, len(records), DECODE_SLICE):
            decoded.extend(map(read_record, records[start : start + DECODE_SLICE]))
            await asyncio.sleep(0)
    return decoded
