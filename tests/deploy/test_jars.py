from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import CorruptDownloadError, RegistryUnreachableError
from deploy.local.jars import LockedJar, kafka_classpath, maven_context, read_lock


def test_the_lock_names_kafka_once() -> None:
    names = [jar.coordinate for jar in read_lock()]

    assert f"org.apache.kafka:kafka_2.13:{jars.KAFKA_VERSION}" in names
    assert len(names) == len(set(names))


def test_a_missing_registry_is_said_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAVEN_REPOSITORY_URL", "http://127.0.0.1:9/maven2")

    with pytest.raises(RegistryUnreachableError, match="MAVEN_REPOSITORY_URL"):
        kafka_classpath(tmp_path)

    assert not list((tmp_path / "jars").glob("*.jar"))


def test_a_file_with_another_checksum_is_not_installed(tmp_path: Path) -> None:
    jar = LockedJar("org.example:thing:1.0", "0" * 64)
    context = maven_context(tmp_path / "partial")
    artifact = context.create_dependency(jar.coordinate).artifact
    downloaded = artifact.cached_path
    assert downloaded is not None
    downloaded.parent.mkdir(parents=True)
    downloaded.write_bytes(b"not the jar")

    with pytest.raises(CorruptDownloadError):
        jars.download(jar, context, tmp_path)

    assert not (tmp_path / jar.file_name).exists()
