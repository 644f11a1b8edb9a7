"""A small S3 server for tests; its buckets are folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from localbucket import S3Handler

BUCKET = "media"


@dataclass(frozen=True)
class Bucket:
    """`url` is for MEDIA_STORE_URL, `environment` what S3 wants beside it."""

    endpoint: str
    url: str = f"s3://{BUCKET}/pictures"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",  # pragma: allowlist secret
        }

    @property
    def options(self) -> dict[str, object]:
        """What `open_object_store` takes in place of the environment."""
        return {
            "endpoint": self.endpoint,
            "region": "eu-central-1",
            "access_key_id": "test",
            "secret_access_key": "test",  # pragma: allowlist secret
            "client_options": {"allow_http": True},
        }


@contextmanager
def a_bucket(folder: Path) -> Iterator[Bucket]:
    """An empty one, on a free port of loopback."""
    (folder / BUCKET).mkdir(parents=True)
    handler = type("Handler", (_QuietHandler,), {"data_root": folder.resolve()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield Bucket(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            serving.join()


class _QuietHandler(S3Handler):  # type: ignore[misc]
    def log_message(self, format: str, *args: object) -> None:
        return
