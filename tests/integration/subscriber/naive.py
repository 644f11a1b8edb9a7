"""A subscriber as one writes it without thinking: sound as it is, and each fault can be planted."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from schemas.events import INFLUENCER_TOPIC
from services.core.subscriber.conformance import Effect, InProcess, Surroundings

KNOWN = {
    "InfluencerDrafted": {"profile", "referenceImages"},
    "InfluencerUpdated": {"changes"},
}


class Fault(StrEnum):
    NONE = "none"
    NEWEST_FIRST = "newest first"
    ONE_CURSOR = "takes the ids for one order of all streams"
    NO_DEDUPE = "no dedupe"
    IGNORES_GAPS = "ignores gaps"
    STOPS_AT_UNKNOWN_TYPE = "stops at an unknown type"
    STOPS_AT_UNKNOWN_FIELD = "stops at an unknown field"
    GUESSES_NEWER_VERSIONS = "guesses newer versions"
    SKIPS_POISON = "skips poison"
    STOPS_AT_POISON = "stops at poison"
    STOPS_AT_FOREIGN = "stops at a foreign message"
    READS_UNCOMMITTED = "reads uncommitted"
    COUNTS_OFFSETS = "takes holes in the offsets for losses"
    JUMPS_TO_THE_END = "jumps to the end when it is assigned a partition"
    COMMITS_FIRST = "commits its position first"
    REMEMBERS_LATE = "remembers the sequences after the effects"
    ENDS = "ends at once"


class Ledger:
    """What would be its database: effects and last sequences, kept over restarts."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.sequences: dict[str, int] = {}
        self.parked: set[str] = set()


class Naive(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, surroundings: Surroundings, ledger: Ledger, fault: Fault) -> None:
        self._ledger = ledger
        self._fault = fault
        self._stopping = False
        self._last_id = ""
        self._unsaved: dict[str, int] = {}
        self._next_offset: dict[TopicPartition, int] = {}
        self._topic = f"{surroundings.prefix}{INFLUENCER_TOPIC}"
        self._surroundings = surroundings

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        if self._fault is Fault.ENDS:
            return
        self._consumer = self._new_consumer()
        try:
            await self._consumer.start()
            self._consumer.subscribe([self._topic], listener=self)
            while not self._stopping:
                await self._take(await self._consumer.getmany(timeout_ms=100, max_records=20))
        finally:
            await self._consumer.stop()

    def _new_consumer(self) -> AIOKafkaConsumer:
        uncommitted = self._fault is Fault.READS_UNCOMMITTED
        return AIOKafkaConsumer(
            bootstrap_servers=self._surroundings.bootstrap_servers,
            group_id=self._surroundings.group,
            group_instance_id=self._surroundings.instance or None,
            isolation_level="read_uncommitted" if uncommitted else "read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=500,
            fetch_max_wait_ms=50,
        )

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None: ...

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._next_offset.clear()
        if self._fault is Fault.JUMPS_TO_THE_END and assigned:
            await self._consumer.seek_to_end(*assigned)

    async def _take(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        if not fetched:
            return
        if self._fault is Fault.COMMITS_FIRST:
            await self._commit()
        for place, records in fetched.items():
            for record in reversed(records) if self._fault is Fault.NEWEST_FIRST else records:
                self._note_offset(place, record.offset)
                self._take_one(record)
                await asyncio.sleep(0.001)
        self._save()
        await self._commit()

    async def _commit(self) -> None:
        with suppress(KafkaError):  # after a rebalance somebody else will
            await self._consumer.commit()

    def _note_offset(self, place: TopicPartition, offset: int) -> None:
        if self._fault is Fault.COUNTS_OFFSETS:
            expected = self._next_offset.get(place, offset)
            assert offset == expected, f"expected offset {expected}, got {offset}"
        self._next_offset[place] = offset + 1

    def _take_one(self, record: ConsumerRecord) -> None:
        headers = {name: value.decode() for name, value in record.headers}
        if "ce_type" not in headers and self._fault is not Fault.STOPS_AT_FOREIGN:
            return
        if self._fault is Fault.ONE_CURSOR and headers["ce_id"] <= self._last_id:
            return
        self._last_id = headers.get("ce_id", "")
        stream, sequence = record.key.decode(), int(headers["ce_sequence"])
        last = {**self._ledger.sequences, **self._unsaved}.get(stream, 0)
        if sequence <= last and self._fault is not Fault.NO_DEDUPE:
            return
        if stream in self._ledger.parked:
            return
        is_gap = sequence > last + 1 and self._fault not in (
            Fault.IGNORES_GAPS,
            Fault.NEWEST_FIRST,
        )
        if is_gap or not self._can_read(headers, record.value):
            self._ledger.parked.add(stream)
            return
        if headers["ce_type"] in KNOWN and self._is_json(record.value):
            self._ledger.effects.append(Effect(headers["ce_id"], stream, sequence))
        self._unsaved[stream] = max(last, sequence)
        if self._fault is not Fault.REMEMBERS_LATE:
            self._save()

    def _save(self) -> None:
        self._ledger.sequences.update(self._unsaved)
        self._unsaved.clear()

    def _can_read(self, headers: Mapping[str, str], value: bytes) -> bool:
        known = KNOWN.get(headers["ce_type"])
        if known is None:
            assert self._fault is not Fault.STOPS_AT_UNKNOWN_TYPE, headers["ce_type"]
            return True
        if not self._is_json(value):
            assert self._fault is not Fault.STOPS_AT_POISON
            return self._fault is Fault.SKIPS_POISON
        if self._fault is Fault.STOPS_AT_UNKNOWN_FIELD:
            assert json.loads(value).keys() <= known
        is_newest = headers["ce_dataschema"].endswith("/1.json")
        return is_newest or self._fault is Fault.GUESSES_NEWER_VERSIONS

    def _is_json(self, value: bytes) -> bool:
        with suppress(ValueError):
            return isinstance(json.loads(value), dict)
        return False


def naive(fault: Fault) -> InProcess:
    """Under test: all its members of one group share a ledger."""
    ledgers: dict[str, Ledger] = {}

    def ledger(surroundings: Surroundings) -> Ledger:
        return ledgers.setdefault(surroundings.group, Ledger())

    async def effects(surroundings: Surroundings) -> Sequence[Effect]:
        return list(ledger(surroundings).effects)

    return InProcess(lambda around: Naive(around, ledger(around), fault), effects)
