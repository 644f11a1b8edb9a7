"""Schemathesis, which knows nothing but openapi.json, against the running api: it finds nothing.

A few cases of every operation in every run of the tests, from one seed, however slow the machine
is; `make fuzz FUZZ_SECONDS=3600` for as long, from a new one.
"""

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.api.application import ROUTES
from services.api.openapi.files import FILES
from services.core.domain.commands import CancelJob
from tests.integration.api.calling import Caller
from tests.integration.api.pictures import picture, upload
from tests.integration.api.scenes import Scene, project_history
from tests.integration.api.serving import Service, serving

SECONDS = int(os.environ.get("FUZZ_SECONDS", "0"))
CASES = 4
"""Of each operation, or scenarios, where there is no time to spend; coverage has seconds then."""
COVERAGE_SECONDS = 12
SEED = os.environ.get("FUZZ_SEED", "20261124")
OPERATIONS = len(ROUTES) + len(FILES)
FOLDER = Path(__file__).parent
EXECUTABLE = Path(sys.executable).parent / "schemathesis"
HOLD = 0.2
"""Seconds: what `minSequence` asks for never comes here."""


@pytest.fixture
async def hasty(shared_database_url: str, service: Service) -> AsyncIterator[Service]:
    async with serving(shared_database_url, store=service.store, hold_timeout=HOLD) as running:
        yield running


async def things_there_are(caller: Caller, service: Service) -> dict[str, str]:
    """What the hooks put in the place of ids that nobody can guess; the job has ended."""
    content = picture()
    asset = await upload(caller, content)
    scene = await Scene.started(caller, service)
    stream = (caller.organization_id, scene.influencer_id)
    await service.append(CancelJob(*stream, scene.job_id, requested_by="key_x"))
    await project_history(scene)
    return {
        "FUZZ_PROJECT": caller.project_id,
        "FUZZ_ASSET": asset["assetId"],
        "FUZZ_FILE": asset["url"].partition("?")[0].removeprefix("/media/"),
        "FUZZ_PICTURE": b64encode(content).decode(),
        "FUZZ_INFLUENCER": scene.influencer_id,
        "FUZZ_JOB": scene.job_id,
    }


@dataclass(frozen=True)
class Run:
    """`findings` is empty when there are none; `report` what schemathesis says of its own run."""

    findings: str
    report: Any


async def run(caller: Caller, service: Service, folder: Path, *arguments: str) -> Run:
    report = folder / "report.json"
    process = await asyncio.create_subprocess_exec(
        EXECUTABLE,
        f"--config-file={FOLDER / 'schemathesis.toml'}",
        "run",
        f"{service.base_url}/openapi.json",
        f"--seed={SEED}",
        "--checks=all",
        "--request-timeout=15",
        f"--report-json-path={report}",
        *arguments,
        cwd=folder,
        env={
            **os.environ,
            **await things_there_are(caller, service),
            "SCHEMATHESIS_HOOKS": "tests.integration.api.fuzzing.hooks",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    findings = "" if process.returncode == 0 else told.decode()
    return Run(findings, json.loads(report.read_text(encoding="utf-8")))


def bound(phases: str) -> str:
    if SECONDS:
        return f"--max-time={max(SECONDS // 4, 1)}"
    return f"--max-time={COVERAGE_SECONDS}" if "coverage" in phases else f"--max-examples={CASES}"


def require_tried(report: Any, *phases: str, operations: int, cases: int) -> None:
    """What found nothing because it tried nothing is a fault as well."""
    assert report["complete"], report
    for phase in phases:
        assert report["phases"][phase] == {"status": "success", "skip_reason": None}, report
    assert report["operations"]["tested"] >= operations, report
    assert report["test_cases"]["generated"] >= cases, report


@pytest.mark.parametrize(
    ("phases", "operations"),
    [("examples,coverage", OPERATIONS), ("fuzzing", OPERATIONS), ("stateful", 8)],
)
async def test_nothing_is_found_with_a_key(
    caller: Caller, hasty: Service, tmp_path: Path, phases: str, operations: int
) -> None:
    arguments = [f"--header=X-Api-Key: {caller.key}", f"--phases={phases}", bound(phases)]
    done = await run(caller, hasty, tmp_path, *arguments)
    assert not done.findings, done.findings
    require_tried(done.report, *phases.split(","), operations=operations, cases=2 * operations)


async def test_nothing_is_found_without_a_key(
    caller: Caller, hasty: Service, tmp_path: Path
) -> None:
    done = await run(caller, hasty, tmp_path, "--phases=examples,fuzzing", bound("fuzzing"))
    assert not done.findings, done.findings
    # The bytes of media that a URL opens need no key, and are tried with one.
    require_tried(done.report, "examples", operations=OPERATIONS - 2, cases=2 * OPERATIONS)
