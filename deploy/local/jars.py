"""Kafka's jars: resolved by jgo from Maven Central, pinned by SHA-256, kept in a cache.

`python -m deploy.local.jars` resolves the dependency tree anew and writes the lock file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.maven import Artifact, MavenContext, PythonResolver

from deploy.local.errors import CorruptDownloadError, RegistryUnreachableError
from deploy.local.process import raise_if_disk_full

KAFKA_VERSION = "4.0.2"
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
DOWNLOADS_AT_ONCE = 6

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LockedJar:
    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        _, name, version = self.coordinate.split(":")
        return f"{name}-{version}.jar"


def kafka_classpath(cache: Path, progress: Progress | None = None) -> list[Path]:
    """The jars of the lock file, downloading those that the cache does not hold."""
    jars = read_lock()
    folder = cache / "jars"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_one_process(folder / ".lock"):
            download_missing(jars, folder, progress or (lambda _done, _all: None))
    except OSError as error:
        raise_if_disk_full(error, cache)
        raise
    return [folder / jar.file_name for jar in jars]


def read_lock() -> list[LockedJar]:
    lines = LOCK_FILE.read_text().splitlines()
    return [LockedJar(*line.split()) for line in lines if line and not line.startswith("#")]


def download_missing(jars: list[LockedJar], folder: Path, progress: Progress) -> None:
    # Only whole, verified files get their final name, so presence is proof enough.
    missing = [jar for jar in jars if not (folder / jar.file_name).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as partial:
        context = maven_context(Path(partial))
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            results = pool.map(lambda jar: download(jar, context, folder), missing)
            for done, _ in enumerate(results, start=len(jars) - len(missing) + 1):
                progress(done, len(jars))


def download(jar: LockedJar, context: MavenContext, folder: Path) -> None:
    artifact = context.create_dependency(jar.coordinate).artifact
    downloaded = resolve(artifact, jar.coordinate)
    if sha256_of(downloaded) != jar.sha256:
        raise CorruptDownloadError(jar.coordinate)
    downloaded.replace(folder / jar.file_name)


def resolve(artifact: Artifact, what: str, attempts: int = 2) -> Path:
    for attempt in range(1, attempts + 1):
        try:
            path: Path = artifact.resolve()
            return path
        except (requests.RequestException, RuntimeError) as error:
            # jgo writes to the final name, so what it left is not to be trusted.
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)
            if attempt == attempts:
                repository = next(iter(artifact.context.remote_repos.values()))
                raise RegistryUnreachableError(what, repository, short(error)) from error
    raise AssertionError("unreachable")


def short(error: Exception) -> str:
    return str(error).split("\n")[0][:300]


def maven_context(cache: Path) -> MavenContext:
    trust_system_certificates()
    mirror = os.environ.get("MAVEN_REPOSITORY_URL", "").rstrip("/")
    repositories = {"mirror": mirror} if mirror else None
    # The Python resolver: the default would use an installed Maven.
    return MavenContext(resolver=PythonResolver(), repo_cache=cache, remote_repos=repositories)


def trust_system_certificates() -> None:
    """Behind an inspecting proxy the system's certificates are right and certifi's are not."""
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return
    named = [os.environ.get("SSL_CERT_FILE"), os.environ.get("PIP_CERT")]
    candidates = [*named, ssl.get_default_verify_paths().cafile, *SYSTEM_CERTIFICATES]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            os.environ["REQUESTS_CA_BUNDLE"] = candidate
            return


@contextlib.contextmanager
def only_one_process(lock: Path) -> Iterator[None]:
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_lock() -> None:
    with tempfile.TemporaryDirectory() as cache:
        context = maven_context(Path(cache))
        roots = [context.create_dependency(root) for root in ROOTS]
        resolved, transitive = context.resolver.resolve(roots)
        lines = [lock_line(dependency.artifact) for dependency in [*resolved, *transitive]]
    header = "# Generated by `make lock`: Maven coordinate and SHA-256 of each jar.\n"
    LOCK_FILE.write_text(header + "\n".join(sorted(set(lines))) + "\n")


def lock_line(artifact: Artifact) -> str:
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return f"{coordinate} {sha256_of(resolve(artifact, coordinate))}"


if __name__ == "__main__":
    write_lock()
