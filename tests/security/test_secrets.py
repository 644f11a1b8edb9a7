"""API2, before anything runs: no key, password or private key is in a file (`make lint`)."""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.ids import UlidSource
from services.core.controlplane import new_api_key

BASELINE = ".secrets.baseline"
# Put together here, so that this file holds none.
PLANTED = {
    "our key": f'ours = "{new_api_key(UlidSource())[0]}"',
    "our key in an environment": f"API_KEY={new_api_key(UlidSource())[0]}",
    "our key in a configuration": f"apiKey: {new_api_key(UlidSource())[0]}",
    "a signing key": f'signing = "{secrets.token_urlsafe(32)}"',
    "a hexadecimal key": f'signing = "{secrets.token_hex(32)}"',
    "a password in a URL": "url = 'postgresql://me:{}@db.example/x'".format("h0tel-" + "golf"),
    "four words": "pass" + 'word = "correct horse battery staple"',
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "a cloud's key": "id = 'AKIA" + "Q3EGRZ7ZBVX2MPLT'",
    "a forge's token": "token = 'ghp_" + secrets.token_hex(18) + "'",
}
UNQUOTED = {"our key in an environment": "settings.ini", "our key in a configuration": "a.yaml"}


def scan(*files: str) -> subprocess.CompletedProcess[str]:
    hook = Path(sys.executable).parent / "detect-secrets-hook"
    return subprocess.run(
        [str(hook), "--no-verify", "--baseline", BASELINE, *files],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("what", "line"), PLANTED.items(), ids=PLANTED)
def test_a_planted_secret_is_found(tmp_path: Path, what: str, line: str) -> None:
    planted = tmp_path / UNQUOTED.get(what, "settings.py")
    planted.write_text(f"# the settings\n{line}\n")
    found = scan(str(planted))
    assert found.returncode == 1, found
    assert f"{planted.name}:2" in found.stdout


def test_what_is_none_is_not(tmp_path: Path) -> None:
    harmless = tmp_path / "settings.py"
    harmless.write_text('influencer = "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T"\npassword = settings.x\n')
    assert scan(str(harmless)).returncode == 0


def test_nothing_is_excused_in_advance() -> None:
    assert '"results": {}' in Path(BASELINE).read_text()
    assert "detect-secrets-hook" in Path("Makefile").read_text()
