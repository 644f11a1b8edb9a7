"""What a Kafka node knows of its cluster, asked without an event loop: the caller may have one."""

from __future__ import annotations

import contextlib
import socket
import struct
from io import BytesIO

from aiokafka.protocol.metadata import MetadataRequest_v5, MetadataResponse_v5

from deploy.local.ports import LOOPBACK

TIMEOUT_SECONDS = 2.0
SIZE = struct.Struct(">i")
CORRELATION_ID_BYTES = 4


def serves(port: int, node_id: int) -> bool:
    """Whether it is there for clients: alive to its cluster, each partition that is its alone led.

    A node says that it has started a moment before it leads its partitions again.
    """
    with contextlib.suppress(OSError, ValueError, struct.error):
        metadata = ask(port)
        partitions = [partition for topic in metadata.topics for partition in topic[-1]]
        leaders = [leader for _, _, leader, replicas, *_ in partitions if replicas == [node_id]]
        alive = {broker[0] for broker in metadata.brokers}
        return node_id in alive and all(leader == node_id for leader in leaders)
    return False


def ask(port: int) -> MetadataResponse_v5:
    """About all topics. Raises OSError, ValueError and struct.error."""
    request = MetadataRequest_v5(None, False)
    message = request.build_request_header(correlation_id=0, client_id="local-stack").encode()
    message += request.encode()
    with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as connection:
        connection.sendall(SIZE.pack(len(message)) + message)
        with connection.makefile("rb") as stream:
            (size,) = SIZE.unpack(stream.read(SIZE.size))
            answer = stream.read(size)
    return MetadataResponse_v5.decode(BytesIO(answer[CORRELATION_ID_BYTES:]))
