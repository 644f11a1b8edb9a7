from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import stack
from deploy.local.errors import AlreadyRunningError, DiskFullError
from deploy.local.ports import RememberedPorts, any_free_port


def test_ports_are_remembered_and_distinct(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = RememberedPorts(file)
    taken = [first.take("kafka"), first.take("postgres")]

    again = RememberedPorts(file)
    assert [again.take("kafka"), again.take("postgres")] == taken
    assert len(set(taken)) == 2


def test_two_stacks_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        stack.exclusive(tmp_path),
        pytest.raises(AlreadyRunningError, match="STATE_DIR="),
        stack.exclusive(tmp_path),
    ):
        pass


def test_a_full_disk_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "NEEDED_MB", 10**9)

    with pytest.raises(DiskFullError, match="is full"), stack.exclusive(tmp_path):
        pass


def test_an_external_stack_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap_servers = f"127.0.0.1:{any_free_port()}"
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/database")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers)

    with stack.test_stack(tmp_path) as external:
        assert external.bootstrap_servers == bootstrap_servers
        assert external.kafka is None
        assert external.postgres is None
