"""`make audit`: known vulnerabilities of the locked dependencies, from the public OSV database.

    python -m tests.security.audit requirements.lock …

Ends with 0 when none is known, with 1 when there is one, with 3 when the database can't be
reached and so nothing was audited, with 2 for any other fault.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CLEAN, VULNERABLE, FAILED, UNREACHABLE = 0, 1, 2, 3
# How requests names what keeps it from an answer; pip-audit shows it as a traceback.
NO_ANSWER = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError")
TIMEOUT = "20"


class AuditFailed(Exception):
    """pip-audit ended without a report."""


class DatabaseUnreachable(AuditFailed):
    """Nothing is known of any dependency."""


def main() -> int:
    options = _options()
    console = Console()
    try:
        audited = [one for lock in options.locks for one in _audited(lock, options.osv_url)]
    except DatabaseUnreachable:
        console.print("The vulnerability database can't be reached: nothing was audited.")
        return UNREACHABLE
    except AuditFailed as fault:
        console.print(f"The audit failed: {fault}", markup=False)
        return FAILED
    found = [one for one in audited if one.get("vulns")]
    if found:
        console.print(_table(found))
    console.print(f"{len(audited)} dependencies audited, {len(found)} with known vulnerabilities.")
    return VULNERABLE if found else CLEAN


def _audited(lock: Path, osv_url: str | None) -> list[dict[str, Any]]:
    """pip-audit's dependencies, each with its `vulns`. Raises AuditFailed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(lock)),
            *("--disable-pip", "--no-deps", "--progress-spinner", "off", "--timeout", TIMEOUT),
            *("--vulnerability-service", "osv", "--cache-dir", folder),
            *("--format", "json", "--output", str(report)),
            *(("--osv-url", osv_url) if osv_url else ()),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if report.exists():
            dependencies: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
            return dependencies
    last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if any(name in last for name in NO_ANSWER):
        raise DatabaseUnreachable(last)
    raise AuditFailed(last)


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(title="Known vulnerabilities")
    for heading in ("dependency", "version", "vulnerability", "mended in"):
        table.add_column(heading)
    for one in found:
        for vulnerability in one["vulns"]:
            mended = ", ".join(vulnerability.get("fix_versions", []))
            table.add_row(one["name"], one["version"], vulnerability["id"], mended)
    return table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make audit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("locks", nargs="+", type=Path)
    parser.add_argument("--osv-url", help="another database that speaks OSV's protocol")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
