"""Settings that are off are all named at once, by every service, before it starts."""

from importlib import import_module
from pathlib import Path

import pytest

from services.ops.settings import operations_settings

SERVICES = ["api", "renderer", "projector", "content"]
WRONG = {
    "DATABASE_URL": "nonsense",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka 9092",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_TOPIC_PREFIX": "a/b",
    "LOG_LEVEL": "LOUD",
    "DATABASE_POOL_SIZE": "many",
}
WITHOUT_A_PASSWORD = {"KAFKA_USERNAME", "KAFKA_PASSWORD"}
EVERYWHERE = {*WRONG, *WITHOUT_A_PASSWORD} - {"KAFKA_SECURITY_PROTOCOL"}
OF_A_SERVICE = {
    "api": {
        "API_HOST": "here",
        "API_PORT": "0",
        "MEDIA_SIGNING_KEY": "short",
        "MEDIA_STORE_URL": "folder",
        "PUBLIC_BASE_URL": "somewhere",
    },
    "renderer": {
        "MEDIA_STORE_URL": "s3://",
        "PUBLIC_BASE_URL": "somewhere",
        "RENDERER_BACKEND": "painting",
        "RENDERER_CONCURRENCY": "0",
    },
    "projector": {"PROJECTOR_BATCH_SIZE": "0", "PROJECTOR_INSTANCE": "a b"},
    "content": {
        "MEDIA_STORE_URL": "file://folder",
        "PUBLIC_BASE_URL": "somewhere",
        "RENDERER_BACKEND": "no.such.module:factory",
        "CONTENT_LEASE": "0",
    },
}


def named(errors: str) -> dict[str, str]:
    """Each variable that is complained of, with what is said of it."""
    lines = [line.strip().partition(": ") for line in errors.splitlines()[1:]]
    return {variable: reason for variable, _, reason in lines}


def start(service: str) -> None:
    import_module(f"services.{service}.__main__").main()


@pytest.mark.parametrize("service", SERVICES)
def test_every_fault_of_a_service_is_named_at_once(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {**WRONG, **OF_A_SERVICE[service]}.items():
        monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as ended:
        start(service)

    assert ended.value.code == 2
    told = named(capsys.readouterr().err)
    assert set(told) == EVERYWHERE | set(OF_A_SERVICE[service])
    assert all(told.values())


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_missing_is_named(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(SystemExit):
        start(service)

    assert {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"} <= set(named(capsys.readouterr().err))


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://user:secret@host/database",
        "postgresql+asyncpg://user:secret@host/database",
        "postgresql://user:secret@host:port/database",
        "postgresql:///database",
    ],
)
def test_a_database_that_cannot_be_reached_so_is_told_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(SystemExit):
        start("projector")

    told = named(capsys.readouterr().err)
    assert list(told) == ["DATABASE_URL"]
    assert "postgresql://user:password@host:port/database" in told["DATABASE_URL"]
    assert "secret" not in told["DATABASE_URL"]


def test_the_operators_command_names_every_fault_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    wrong = {"KAFKA_CA_FILE": str(tmp_path / "ca.pem"), "RENDERER_LEASE": "0"}
    for variable, value in {**wrong, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}.items():
        monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as ended:
        operations_settings()

    assert ended.value.code == 2
    assert set(named(capsys.readouterr().err)) == {*wrong, *WITHOUT_A_PASSWORD}
