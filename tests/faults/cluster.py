"""Three Kafka nodes on loopback: replication 3, at least 2 in sync."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka import LocalKafka, new_cluster_id
from deploy.local.ports import LOOPBACK, any_free_port
from deploy.local.postgres import LocalPostgres
from deploy.local.stack import Stack, cache_directory

NODES = 3
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "replica.lag.time.max.ms": "5000",
    "unclean.leader.election.enable": "false",
}


@dataclass(frozen=True)
class ClusterStack(Stack):
    nodes: tuple[LocalKafka, ...] = ()


@contextmanager
def three_brokers(folder: Path) -> Iterator[ClusterStack]:
    controllers = [any_free_port() for _ in range(NODES)]
    voters = ",".join(f"{n}@{LOOPBACK}:{port}" for n, port in enumerate(controllers, 1))
    cluster_id = new_cluster_id()
    nodes = tuple(
        LocalKafka(
            folder / f"kafka-{number}",
            cache=cache_directory(),
            node_id=number,
            controller_port=port,
            settings={"controller.quorum.voters": voters, **REPLICATED},
            cluster_id=cluster_id,
        )
        for number, port in enumerate(controllers, 1)
    )
    with ExitStack() as running, LocalPostgres(folder / "postgres") as postgres:
        for node in nodes:
            running.callback(node.stop)
            node.begin()
        for node in nodes:
            node.wait_until_ready()
        servers = ",".join(node.bootstrap_servers for node in nodes)
        yield ClusterStack(postgres.dsn, servers, None, postgres, nodes)
