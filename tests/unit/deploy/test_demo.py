from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deploy.local import demo
from deploy.local.demo import Account, Demo, RefusedError, RestClient, demo_account
from deploy.local.secret_file import remembered_secret, write_secret

FIRST = Account("org-1", "project-1", "key-1")
SECOND = Account("org-2", "project-2", "key-2")


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_scripts_find_addresses_and_credentials_that_only_the_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    values = {
        "baseUrl": "http://127.0.0.1:8080",
        "organizationId": "org-1",
        "projectId": "project-1",
        "apiKey": "key-1",  # pragma: allowlist secret
        "bootstrapServers": "127.0.0.1:9092",
        "databaseUrl": "postgresql://postgres@127.0.0.1/postgres",
    }

    Demo(**values).save(file)

    assert json.loads(file.read_text()) == values
    assert mode(file) == 0o600


def test_a_secret_never_has_another_mode(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    (tmp_path / "secret.partial").write_text("of a killed run")

    write_secret(file, "new")

    assert (file.read_text(), mode(file)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "key"

    made = remembered_secret(file)

    assert len(made) == 64
    assert remembered_secret(file) == made
    assert mode(file) == 0o600


class Api:
    """Knows some keys; makes accounts one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: set[str] = set()
        self.status = 401
        self.accounts = [FIRST, SECOND]
        monkeypatch.setattr(demo, "new_account", lambda *_: self.make())
        api = self

        def request(client: RestClient, method: str, path: str) -> dict[str, str]:
            assert (method, path) == ("GET", "/v1/whoami")
            if client._headers["X-Api-Key"] not in api.known:
                raise RefusedError("GET /v1/whoami", api.status, "")
            return {}

        monkeypatch.setattr(RestClient, "request", request)

    def make(self) -> Account:
        account = self.accounts.pop(0)
        self.known.add(account.api_key)
        return account

    def account(self, state: Path) -> Account:
        return demo_account(state, "http://127.0.0.1:1", {}, state / "ops.log")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    return Api(monkeypatch)


def test_the_account_of_an_earlier_start_is_kept(tmp_path: Path, api: Api) -> None:
    assert api.account(tmp_path) == FIRST
    (tmp_path / "seed.json").write_text("{}")

    assert api.account(tmp_path) == FIRST
    assert (tmp_path / "seed.json").exists()
    assert mode(tmp_path / "account.json") == 0o600


def test_an_account_of_a_deleted_database_is_made_anew_with_its_example(
    tmp_path: Path, api: Api
) -> None:
    api.account(tmp_path)
    (tmp_path / "seed.json").write_text("{}")
    api.known.clear()

    assert api.account(tmp_path) == SECOND
    assert not (tmp_path / "seed.json").exists()
    assert api.account(tmp_path) == SECOND


def test_an_api_that_cannot_tell_makes_no_new_account(tmp_path: Path, api: Api) -> None:
    api.account(tmp_path)
    api.known.clear()
    api.status = 503

    with pytest.raises(RefusedError, match="503"):
        api.account(tmp_path)


def test_half_an_account_of_a_killed_run_is_made_anew(tmp_path: Path, api: Api) -> None:
    (tmp_path / "account.json").write_text('{"organizationId": "org-0"}')

    assert api.account(tmp_path) == FIRST
