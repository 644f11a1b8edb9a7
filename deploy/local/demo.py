"""The demo account and the seed example, made on the first start through public doors."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalStackError
from deploy.local.process import POLL_SECONDS
from deploy.local.secret_file import write_secret
from deploy.local.services import run_operation

AVA_CHEN: dict[str, Any] = {
    "name": "Ava Chen",
    "gender": "female",
    "ageRange": "25-34",
    "hairColor": "dark brown",
    "hairStyle": "long wavy",
    "style": "minimalist streetwear",
    "vibe": "warm and curious",
    "personality": {
        "traits": ["curious", "warm", "direct"],
        "tone": "conversational",
        "humor": "dry",
    },
}
SEED_IDEMPOTENCY_KEY = "seed-ava-chen"
ACCOUNT_FILE = "account.json"
ACCOUNT_KEYS = ("organizationId", "projectId", "apiKey")
SEED_FILE = "seed.json"
ENDED = {"ready", "completed", "succeeded", "failed", "canceled"}
FAILED = {"failed", "canceled"}


@dataclass(frozen=True)
class Demo:
    """What scripts need to talk to the stack; written to `demo.json`."""

    baseUrl: str
    organizationId: str
    projectId: str
    apiKey: str
    bootstrapServers: str
    databaseUrl: str

    def save(self, file: Path) -> None:
        write_secret(file, json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True)
class Account:
    organization_id: str
    project_id: str
    api_key: str


def demo_account(state: Path, base_url: str, environment: Mapping[str, str], log: Path) -> Account:
    """The account of an earlier start, or a new one where the api doesn't know that any more."""
    file = state / ACCOUNT_FILE
    known = read_json(file)
    if set(known) == set(ACCOUNT_KEYS) and RestClient(base_url, known["apiKey"]).is_known():
        return Account(*(known[key] for key in ACCOUNT_KEYS))
    (state / SEED_FILE).unlink(missing_ok=True)
    account = new_account(environment, log)
    written = dict(zip(ACCOUNT_KEYS, astuple(account), strict=True))
    write_secret(file, json.dumps(written, indent=2) + "\n")
    return account


def new_account(environment: Mapping[str, str], log: Path) -> Account:
    def make(name: str, arguments: list[str]) -> str:
        return str(json.loads(run_operation([*arguments, "--json"], environment, log))[name])

    organization = make("organizationId", ["org", "create", "Demo"])
    owner = ["--organization", organization]
    project = make("projectId", ["project", "create", *owner, "Demo"])
    key_options = ["--scopes", "*", "--tier", "internal"]
    key = make("apiKey", ["key", "create", *owner, *key_options, "Demo"])
    return Account(organization, project, key)


def read_json(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class RefusedError(LocalStackError):
    def __init__(self, request: str, status: int, said: str) -> None:
        super().__init__(
            f"{request} was answered with {status}: {said}", "See logs/api.log in the state folder."
        )
        self.status = status


class RestClient:
    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._headers = {"X-Api-Key": api_key, "Content-Type": "application/json"}

    def is_known(self) -> bool:
        """Whether the api takes the key: it doesn't once the database was deleted."""
        try:
            self.request("GET", "/v1/whoami")
        except RefusedError as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                raise
            return False
        return True

    def create_seed(self, project_id: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": SEED_IDEMPOTENCY_KEY}
        return self.request("POST", f"/v1/projects/{project_id}/influencers", AVA_CHEN, headers)

    def wait_for_job(
        self, job_id: str, show: Callable[[dict[str, Any]], None], timeout: float = 120
    ) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while True:
            job = self.request("GET", f"/v1/jobs/{job_id}")
            show(job)
            if job["status"] in ENDED:
                return job
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"The seed example was not ready within {timeout:.0f} s.",
                    "See logs/renderer.log and logs/api.log in the state folder.",
                )
            time.sleep(POLL_SECONDS * 5)

    def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self._base_url + path,
            data=data,
            method=method,
            headers={**self._headers, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise RefusedError(f"{method} {path}", error.code, said) from error
        except (OSError, ValueError) as error:
            raise LocalStackError(
                f"{method} {path} got no answer: {error}.", "See logs/api.log in the state folder."
            ) from error
