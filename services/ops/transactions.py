"""What Kafka's coordinators know of transactional ids: state and fencing epoch.

DescribeTransactions (KIP-664), which aiokafka doesn't speak yet:
https://kafka.apache.org/protocol#The_Messages_DescribeTransactions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

COORDINATOR_OF_TRANSACTIONS = 1
TRANSACTIONAL_ID_NOT_FOUND = 105


class DescribeTransactionsResponse_v0(Response):  # type: ignore[misc]
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("transaction_state", CompactString("utf-8")),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeTransactionsRequest_v0(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 65
    API_VERSION = 0
    RESPONSE_TYPE = DescribeTransactionsResponse_v0
    SCHEMA = Schema(
        ("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields)
    )


class DescribeTransactionsRequest(Request[DescribeTransactionsRequest_v0]):  # type: ignore[misc]
    API_KEY = 65

    def __init__(self, transactional_ids: Sequence[str]) -> None:
        self._transactional_ids = list(transactional_ids)

    def build(
        self, request_struct_class: type[DescribeTransactionsRequest_v0]
    ) -> DescribeTransactionsRequest_v0:
        return request_struct_class(self._transactional_ids, {})


@dataclass(frozen=True, slots=True)
class TransactionalId:
    """`epoch` rises by one with each producer that takes the id over; who has an older one is
    fenced. None: no producer has used the id yet, or Kafka has forgotten it since."""

    name: str
    state: str | None = None
    producer_id: int | None = None
    epoch: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "transactionalId": self.name,
            "state": self.state,
            "producerId": self.producer_id,
            "epoch": self.epoch,
        }


async def describe_transactional_id(client: AIOKafkaAdminClient, name: str) -> TransactionalId:
    """Raises KafkaError."""
    coordinator = await client.find_coordinator(name, COORDINATOR_OF_TRANSACTIONS)
    answer = await client._send_request(DescribeTransactionsRequest([name]), coordinator)
    error, _, state, _, _, producer_id, epoch, *_ = answer.transaction_states[0]
    if error == TRANSACTIONAL_ID_NOT_FOUND:
        return TransactionalId(name)
    if error:
        raise for_code(error)(name)
    return TransactionalId(name, state, producer_id, epoch)
