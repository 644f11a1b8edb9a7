# mypy: disable-error-code="misc"
"""The Faust application that reads the log; whatever is untyped about Faust stays in here."""

import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from yarl import URL

from services.core.eventlog.connection import KafkaSecurity, kafka_security
from services.core.eventlog.read import stop_client

FETCH_MAX_WAIT_MS = 100
SESSION_TIMEOUT = 10.0
REQUEST_TIMEOUT = 12.0
COMMIT_INTERVAL = 1.0
STOP_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the log as it came."""

    topic: str
    partition: int
    offset: int
    headers: Iterable[tuple[str, bytes]]
    value: bytes | None


HandleRecord = Callable[[Record], Awaitable[None]]
"""Returns once the record's effect is durable. Must not raise: Faust would acknowledge it."""


class _ReadCommittedThread(AIOKafkaConsumerThread):
    """Faust reads uncommitted when it is at-least-once, and has no setting for it."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    async def on_thread_stop(self) -> None:
        """Faust's would leave the connections open when a consumer fails to stop, or takes long."""
        await super(AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await stop_client(self._consumer, STOP_TIMEOUT)


class _ReadCommittedConsumer(Consumer):
    """Commits the offset behind the last record handled, again and again until that succeeded.

    One agent handles the records of a partition in their order, so all before the last one are
    handled too, and nothing needs to be known about the offsets that no record has. Faust 0.15.3
    keeps lists of both, and loses its place in them for good once a commit failed or two
    transactions' markers follow the first record: from then on it commits nothing any more.
    """

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Offsets without a record, such as a transaction's marker, are nobody's concern."""

    def _new_offset(self, tp: Any) -> int | None:
        handled = self._acked[tp]
        if not handled:
            return None
        offset = max(handled) + 1
        handled.clear()
        self._acked_index[tp].clear()
        return offset

    def _should_commit(self, tp: Any, offset: int) -> bool:
        committed = self._committed_offset[tp]
        return committed is None or offset >= committed

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        succeeded = False
        try:
            succeeded = await super()._commit(offsets)
        finally:
            if not succeeded:
                for tp, offset in offsets.items():
                    self._acked[tp].append(offset - 1)
        return succeeded


class _ReadCommittedTransport(Transport):
    Consumer = _ReadCommittedConsumer


class _Application(faust.App):
    def _new_transport(self) -> Transport:
        return _ReadCommittedTransport(self.conf.broker_consumer, self)


class LogReader:
    """Reads `topic` as a member of a consumer group, one record after the other."""

    def __init__(
        self,
        *,
        group_id: str,
        instance_id: str,
        bootstrap_servers: str,
        topic: str,
        handle: HandleRecord,
    ) -> None:
        self.topic = topic
        # Nothing is kept there (no tables), but Faust wants a folder.
        self._folder = tempfile.TemporaryDirectory(prefix="faust-", ignore_cleanup_errors=True)
        self._application = _Application(
            group_id,
            broker=[URL(f"kafka://{server.strip()}") for server in bootstrap_servers.split(",")],
            broker_credentials=_credentials(kafka_security()),
            broker_client_id=f"renderer-{instance_id}",
            broker_session_timeout=SESSION_TIMEOUT,
            broker_heartbeat_interval=SESSION_TIMEOUT / 5,
            broker_request_timeout=REQUEST_TIMEOUT,
            broker_commit_interval=COMMIT_INTERVAL,
            consumer_group_instance_id=instance_id,
            consumer_auto_offset_reset="earliest",
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            autodiscover=False,
            datadir=self._folder.name,
            logging_config=None,
        )
        channel = self._application.topic(
            topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )
        self._application.agent(channel, name="renderer.ingest")(_agent(handle))

    async def start(self) -> None:
        self._application.finalize()
        await self._application.start()

    async def stop(self) -> None:
        try:
            await self._application.stop()
        finally:
            self._folder.cleanup()

    async def wait_for_end(self) -> None:
        """Returns when a fault, such as Kafka being away for too long, has ended it."""
        await self._application.wait_until_stopped()

    @property
    def partitions(self) -> set[int]:
        """Those assigned to us; a standby has none."""
        return {tp.partition for tp in self._application.consumer.assignment()}

    @property
    def isolation_level(self) -> str:
        """As the running consumer's fetcher has it."""
        fetcher = getattr(self._kafka_consumer, "_fetcher", None)
        level: int | None = getattr(fetcher, "_isolation_level", None)
        return {None: "none yet", 0: "read_uncommitted", 1: "read_committed"}[level]

    @property
    def is_member(self) -> bool:
        """Whether the group has us, with partitions or as a standby."""
        coordinator = getattr(self._kafka_consumer, "_coordinator", None)
        return coordinator is not None and coordinator.generation > 0

    @property
    def _kafka_consumer(self) -> AIOKafkaConsumer | None:
        thread = getattr(self._application.consumer, "_thread", None)
        return getattr(thread, "_consumer", None)


def _credentials(security: KafkaSecurity) -> faust.SASLCredentials | faust.SSLCredentials | None:
    match security.kafka_security_protocol:
        case "PLAINTEXT":
            return None
        case "SSL":
            return faust.SSLCredentials(context=security.ssl_context)
        case "SASL_SSL":
            return faust.SASLCredentials(
                username=security.kafka_username,
                password=security.kafka_password.get_secret_value(),
                ssl_context=security.ssl_context,
                mechanism=security.kafka_sasl_mechanism,
            )


def _agent(handle: HandleRecord) -> Callable[[Any], Awaitable[None]]:
    async def ingest(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            await handle(
                Record(
                    message.topic,
                    message.partition,
                    message.offset,
                    _pairs(message.headers),
                    message.value,
                )
            )

    return ingest


def _pairs(headers: Any) -> Iterable[tuple[str, bytes]]:
    if headers is None:
        return ()
    pairs: Iterable[tuple[str, bytes]] = headers.items() if hasattr(headers, "items") else headers
    return pairs
