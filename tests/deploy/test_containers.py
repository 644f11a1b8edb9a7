"""The containers of TEST_STACK=testcontainers, as far as that can be told without Docker."""

from __future__ import annotations

import subprocess
import sys
from unittest.mock import MagicMock

import pytest
from testcontainers.core import container

from deploy.local.containers import containers, kafka_container, postgres_container
from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, any_free_port


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "DockerClient", MagicMock())


def test_nothing_that_is_used_is_deprecated() -> None:
    # In a process of its own: a warning of an import comes once.
    command = [sys.executable, "-W", "error", "-c", "import deploy.local.containers"]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.usefixtures("docker")
def test_postgres_has_room_for_as_many_connections() -> None:
    assert postgres_container()._command == "postgres -c max_connections=200"


@pytest.mark.usefixtures("docker")
def test_one_kafka_node_is_enough_for_transactions_and_makes_no_topics_by_itself() -> None:
    kafka = kafka_container()
    kafka.configure()  # type: ignore[no-untyped-call]

    assert kafka.env["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == "1"
    assert kafka.env["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"
    assert kafka.env["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == "1"
    assert kafka.env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert kafka.env["KAFKA_PROCESS_ROLES"] == "broker,controller"


def test_where_docker_does_not_answer_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{LOOPBACK}:{any_free_port()}")

    with (
        pytest.raises(LocalStackError, match="needs Docker, and it does not answer"),
        containers(),
    ):
        pass
