"""The subscriber: handlers, a store, and a loop that lasts."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, overload

from schemas.events import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC

from .faults import FaultKind, FetchStalled, PositionMoved, StoreUnavailable, TryLater
from .handlers import BatchHandler, Effects, Handler, Handlers
from .kafka import KAFKA_FAULTS, new_consumer, partitions_of, stop_consumer
from .observer import Observer
from .parking import ParkingPlace
from .places import BEGINNING, Partition, Start, StreamKey
from .processing import Processor, RetryPolicy
from .records import Data, OtherData, Record
from .replay import replay_stream, rewind
from .source import Rebalance, Source
from .status import Progress, Status
from .store import Store

log = logging.getLogger(__name__)

EVENT_TOPICS = (INFLUENCER_TOPIC, MEDIA_TOPIC, CONTENT_TOPIC)
RESTART_DELAY = 0.5
JOIN_PATIENCE = 1.5
"""Times as long as the group waits for a member that is gone."""
WAITS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
CHECK_INTERVAL = 0.5
WATCH_INTERVAL = 2.0
WATCH_TIMEOUT = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Subscriber(Generic[Effects]):
    """One member of the consumer group `name`; as many as there are partitions may share the work.

    `store` keeps positions and sequences under the same name, and gives handlers what they write
    effects with. `start` counts where the store knows nothing yet. `topic_prefix` names an
    installation's topics. `instance` is this member's lasting name: after a crash it has its
    partitions back at once, but when it stops, they wait for `session_timeout` seconds.

    Up to `max_records` are handled in one transaction of the store, but none is begun after
    `max_seconds`. `kafka_options` go to aiokafka (`security_protocol`, `ssl_context`, ...).
    """

    def __init__(
        self,
        name: str,
        bootstrap_servers: str,
        store: Store[Effects],
        *,
        topics: Sequence[str] = EVENT_TOPICS,
        topic_prefix: str = "",
        start: Start = BEGINNING,
        retries: RetryPolicy | None = None,
        observer: Observer | None = None,
        instance: str | None = None,
        max_records: int = 200,
        max_seconds: float = 1.0,
        session_timeout: float = 10.0,
        stalled_after: float = 15.0,
        kafka_options: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = name
        self.topics = tuple(f"{topic_prefix}{topic}" for topic in topics)
        self._bootstrap_servers = bootstrap_servers
        self._store = store
        self._start = start
        self._observer = observer or Observer()
        self._instance = instance
        self._max_records = max_records
        self._max_seconds = max_seconds
        self._session_timeout = session_timeout
        self._stalled_after = stalled_after
        self._kafka_options = dict(kafka_options or {})
        self._clock = clock
        self._handlers: Handlers[Effects] = Handlers()
        self._processor = Processor(
            name, store, self._handlers, retries or RetryPolicy(), self._observer, clock
        )
        self._progress = Progress(clock)
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.parking = ParkingPlace(name, store, clock, self._observer)

    @overload
    def on(
        self, first: type[Data], second: type[OtherData], /
    ) -> Callable[[Handler[Data | OtherData, Effects]], Handler[Data | OtherData, Effects]]: ...

    @overload
    def on(
        self, *types: type[Data]
    ) -> Callable[[Handler[Data, Effects]], Handler[Data, Effects]]: ...

    def on(self, *types: type[Any]) -> Callable[[Handler[Any, Effects]], Handler[Any, Effects]]:
        """Registers a handler `async (received, effects)` of these types, or of all known ones.

        It is called again after any exception, up to the policy's limit; `Poison` parks the stream
        at once, `TryLater` holds up everything until it works.
        """

        def register(handler: Handler[Any, Effects]) -> Handler[Any, Effects]:
            self._handlers.add(types, handler)
            return handler

        return register

    def on_batch(
        self, *types: type[Data]
    ) -> Callable[[BatchHandler[Data, Effects]], BatchHandler[Data, Effects]]:
        """Registers the one handler `async (many, effects)`; after an exception it gets them one
        by one, so that only the streams that fail are parked."""

        def register(handler: BatchHandler[Data, Effects]) -> BatchHandler[Data, Effects]:
            self._handlers.set_batch(types, handler)
            return handler

        return register

    @property
    def status(self) -> Status:
        return self._progress.status()

    def stop(self) -> None:
        """Asks `run` to end: the event in hand is finished, its transaction committed."""
        self._stopping.set()

    def run_until_signal(self) -> None:
        """Runs, in an event loop of its own, until SIGTERM or SIGINT; then stops gracefully."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            await self.run()

        asyncio.run(main())

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.run(), name=f"subscriber {self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._running:
            await self._running

    async def run(self) -> None:
        """Handles events until `stop`; when Kafka fails, it begins again with a new consumer."""
        self._progress.is_running = True
        try:
            while not self._stopping.is_set():
                try:
                    async with AsyncExitStack() as term:
                        await self._serve_term(term)
                except (*KAFKA_FAULTS, FetchStalled, StoreUnavailable) as fault:
                    await self._wait_for(fault, RESTART_DELAY)
        finally:
            self._progress.is_running = False

    async def rewind(self, start: Start) -> None:
        """Sets the whole subscription to `start`, as if it had begun there; running or not.

        Everything behind it is handled again: handlers must replace their effects, or clear them
        away first. Raises StoreUnavailable, TopicMissing, and aiokafka's KafkaError.
        """
        await rewind(
            self._bootstrap_servers,
            self.topics,
            self.name,
            self._store,
            start,
            self._kafka_options,
        )

    async def replay(self, stream: StreamKey) -> int:
        """Handles one stream, e.g. one influencer, again from its first event; how many there are.

        Others don't wait for it. Raises StoreUnavailable, TopicMissing, and aiokafka's KafkaError.
        """
        return await replay_stream(
            self._bootstrap_servers,
            self.name,
            self._store,
            stream,
            self._clock,
            self._kafka_options,
        )

    async def _serve_term(self, term: AsyncExitStack) -> None:
        rebalance = Rebalance()
        source = Source(
            await self._start_consumer(term, rebalance),
            rebalance,
            self._store,
            self.name,
            self._start,
            self._max_records,
        )
        self._progress.works()
        self._progress.terms += 1
        serving = asyncio.create_task(self._serve(source, rebalance))
        watching = asyncio.create_task(self._watch(source))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({serving, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._end_gracefully(serving, rebalance)
        finally:
            for task in (serving, watching, stopping):
                task.cancel()
            endings = await asyncio.gather(serving, watching, return_exceptions=True)
        for ending in endings:
            if isinstance(ending, Exception):
                raise ending

    async def _end_gracefully(self, serving: asyncio.Task[None], rebalance: Rebalance) -> None:
        """Lets a transaction under way end; one that waits for records needs no patience."""
        idle = asyncio.create_task(rebalance.idle.wait())
        await asyncio.wait({serving, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()

    async def _start_consumer(self, term: AsyncExitStack, rebalance: Rebalance) -> Any:
        consumer = new_consumer(
            self._bootstrap_servers,
            {"client_id": self.name, **self._kafka_options},
            group_id=self.name,
            group_instance_id=self._instance,
            session_timeout_ms=int(self._session_timeout * 1000),
            heartbeat_interval_ms=int(self._session_timeout * 100),
        )
        term.push_async_callback(stop_consumer, consumer)
        await consumer.start()
        await partitions_of(consumer, self.topics)
        consumer.subscribe(self.topics, listener=rebalance)
        return consumer

    async def _serve(self, source: Source, rebalance: Rebalance) -> None:
        # A consumer may lose its way into the group without a word, as when a broker restarts.
        async with asyncio.timeout(JOIN_PATIENCE * self._session_timeout):
            await rebalance.assigned.wait()
        checked = 0.0
        while not self._stopping.is_set():
            if not source.is_settled:
                await self._persistently(rebalance, source, self._settle(source))
                continue
            if time.monotonic() - checked > CHECK_INTERVAL:
                await self._persistently(rebalance, source, self._check(source))
                checked = time.monotonic()
            await self._take(source, rebalance, await source.read())

    async def _take(self, source: Source, rebalance: Rebalance, records: list[Record]) -> None:
        while records and source.is_settled and not self._stopping.is_set():
            handled = 0

            async def once(records: list[Record] = records) -> None:
                nonlocal handled
                handled = await self._processor.process(
                    records, source.positions, self._enough(source)
                )

            await self._persistently(rebalance, source, once)
            source.advance(records[:handled])
            for record in records[:handled]:
                self._progress.took(record.place, record.timestamp)
            records = records[handled:]

    def _enough(self, source: Source) -> Callable[[], bool]:
        until = time.monotonic() + self._max_seconds
        return lambda: time.monotonic() > until or self._stopping.is_set() or not source.is_settled

    def _settle(self, source: Source) -> Callable[[], Awaitable[None]]:
        async def settle() -> None:
            await source.settle()
            if source.is_settled:
                await self._retry_newer_versions(source)
                self._progress.assign(source.assigned)
                self._observer.assigned(source.assigned)

        return settle

    def _check(self, source: Source) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await source.check()
            if source.is_settled:
                await self._processor.retry_due(source.positions)

        return check

    async def _retry_newer_versions(self, source: Source) -> None:
        """This code may be the newer one that they were waiting for."""
        for parked in await self.parking.streams():
            if parked.parking.kind is FaultKind.NEWER_VERSION:
                with suppress(LookupError):
                    await self.parking.retry(parked.stream)

    async def _persistently(
        self,
        rebalance: Rebalance,
        source: Source,
        attempt: Callable[[], Awaitable[None]],
    ) -> None:
        """Tries again while the store, or what handlers need, is away; not after a rebalance."""
        was_settled, tries = source.is_settled, 0
        while not self._stopping.is_set() and source.is_settled == was_settled:
            rebalance.idle.clear()
            try:
                await attempt()
                return self._progress.works()
            except PositionMoved as fault:
                log.warning("%s: %s", self.name, fault)
                return source.distrust()
            except (StoreUnavailable, TryLater) as fault:
                waited_for = fault
            finally:
                rebalance.idle.set()
            await self._wait_for(waited_for, WAITS[min(tries, len(WAITS) - 1)])
            tries += 1

    async def _wait_for(self, fault: Exception, seconds: float) -> None:
        self._progress.cannot(fault)
        self._observer.waiting(fault, seconds)
        log.warning("%s waits: %s: %s", self.name, type(fault).__name__, fault)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _watch(self, source: Source) -> None:
        """Measures the lag, and notices a consumer that hangs."""
        while True:
            await asyncio.sleep(min(WATCH_INTERVAL, self._stalled_after))
            try:
                async with asyncio.timeout(WATCH_TIMEOUT):
                    if source.is_settled:
                        self._report(await source.measure(self._stalled_after))
                    parked = await self.parking.streams()
                    self._progress.parked_streams = len(parked)
            except (*KAFKA_FAULTS, StoreUnavailable) as fault:
                log.debug("%s can't measure its lag: %r", self.name, fault)

    def _report(self, lag: Mapping[Partition, int]) -> None:
        self._progress.measured(lag)
        for partition, events in lag.items():
            self._observer.lag(partition, events)
