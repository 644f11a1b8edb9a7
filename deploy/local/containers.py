"""Postgres and Kafka in containers, for test runs where Docker answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer

from deploy.local.errors import LocalStackError
from deploy.local.kafka import ALONE
from deploy.local.postgres import SETTINGS

POSTGRES_IMAGE = "postgres:18"
# Apache's own image starts in another way than this library knows.
KAFKA_IMAGE = "confluentinc/cp-kafka:8.1.0"
START_SECONDS = 120


class DockerUnavailableError(LocalStackError):
    def __init__(self, reason: str) -> None:
        super().__init__(
            f"TEST_STACK=testcontainers needs Docker, and it does not answer: {reason}.",
            "Start it (DOCKER_HOST says where it is), or unset TEST_STACK to run without.",
        )


@contextlib.contextmanager
def containers() -> Iterator[tuple[str, str]]:
    """The addresses of both, as `database_url, bootstrap_servers`, while they run.

    Raises DockerUnavailableError.
    """
    with contextlib.ExitStack() as running:
        try:
            postgres, kafka = postgres_container(), kafka_container()
            running.enter_context(postgres)
            running.callback(kafka.stop)
            kafka.start(timeout=START_SECONDS)
        except DockerException as error:
            raise DockerUnavailableError(str(error)) from error
        yield postgres.get_connection_url(), kafka.get_bootstrap_server()


def postgres_container() -> PostgresContainer:
    connections = SETTINGS["max_connections"]
    postgres = PostgresContainer(POSTGRES_IMAGE, driver=None)
    return postgres.with_command(f"postgres -c max_connections={connections}")


def kafka_container() -> KafkaContainer:
    kafka = KafkaContainer(KAFKA_IMAGE).with_kraft()
    for name, value in ALONE.items():
        kafka.with_env("KAFKA_" + name.replace(".", "_").upper(), value)
    return kafka
