"""The parking place for people: what is parked and why; retry it in order, or go on without it.

Works on the store alone, so another process than the subscriber's may use it too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .faults import FaultKind, StreamNotParked
from .observer import Observer
from .places import Partition, StreamKey
from .records import Record, arrival_of
from .store import Parking, Skip, Store, StreamState, Transaction


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """`sequence` is the last one that was handled; `parking` says why nothing came after it."""

    stream: StreamKey
    sequence: int | None
    parking: Parking


class ParkingPlace:
    def __init__(
        self,
        subscription: str,
        store: Store[Any],
        clock: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self._subscription = subscription
        self._store = store
        self._clock = clock
        self._observer = observer

    async def streams(self) -> list[ParkedStream]:
        """What is parked, the longest first."""
        async with self._store.transaction(self._subscription) as transaction:
            found = await transaction.parked_streams()
        parked = [
            ParkedStream(stream, state.sequence, state.parking)
            for stream, state in found.items()
            if state.parking
        ]
        return sorted(parked, key=lambda one: (one.parking.since, one.stream))

    async def records(self, stream: StreamKey, limit: int = 100) -> Sequence[Record]:
        """The first records of `stream` that wait, in order."""
        async with self._store.transaction(self._subscription) as transaction:
            return await transaction.parked(stream, limit)

    async def retry(self, stream: StreamKey) -> None:
        """Lets the subscriber handle what waits of `stream`, in order, as soon as it runs.

        Raises StreamNotParked.
        """
        async with self._store.transaction(self._subscription) as transaction:
            state, parking = await _parked_state(transaction, stream)
            await transaction.save({stream: self._soon(state, parking)})

    async def skip(self, stream: StreamKey, reason: str) -> Skip:
        """Goes on without what is wrong, and records that with `reason`.

        Of a gap that are the missing events; else the first record that waits. The rest is tried
        as after `retry`. Raises StreamNotParked.
        """
        async with self._store.transaction(self._subscription) as transaction:
            state, parking = await _parked_state(transaction, stream)
            waiting = await transaction.parked(stream, 1)
            skip, after = self._skipped(stream, state, parking, waiting, reason)
            if parking.kind is not FaultKind.GAP:
                await transaction.unpark(waiting)
            await transaction.record_skip(skip)
            await transaction.save({stream: self._soon(after, parking)})
        self._observer.skipped(skip)
        return skip

    async def skips(self) -> Sequence[Skip]:
        """Everything that was ever skipped."""
        async with self._store.transaction(self._subscription) as transaction:
            return await transaction.skips()

    def _skipped(
        self,
        stream: StreamKey,
        state: StreamState,
        parking: Parking,
        waiting: Sequence[Record],
        reason: str,
    ) -> tuple[Skip, StreamState]:
        got = arrival_of(waiting[0]).sequence if waiting else None
        first = last = got
        if parking.kind is FaultKind.GAP and got is not None:
            first, last = (state.sequence or 0) + 1, got - 1
        skip = Skip(stream, first, last, reason, self._clock())
        return skip, state if last is None else replace(state, sequence=last)

    def _soon(self, state: StreamState, parking: Parking) -> StreamState:
        return replace(state, parking=replace(parking, attempts=0, retry_at=self._clock()))


async def _parked_state(
    transaction: Transaction[Any], stream: StreamKey
) -> tuple[StreamState, Parking]:
    """Locked together with its partition's position, as the subscriber's own changes are."""
    state = (await transaction.states([stream])).get(stream)
    if state is None:
        raise StreamNotParked(stream)
    await transaction.hold([Partition(stream.topic, state.partition)])
    state = (await transaction.states([stream])).get(stream)
    if state is None or state.parking is None:
        raise StreamNotParked(stream)
    return state, state.parking
