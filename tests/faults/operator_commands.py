"""`influencerctl`, as an operator calls it, against a system under test."""

import asyncio
import os
import sys
from typing import Any, NamedTuple

import orjson

from deploy.local.stack import Stack
from tests.faults.rules import broken
from tests.faults.system import System

FOUND_SOMETHING_WRONG = 1
NAMED = 5


class CommandFailed(AssertionError):
    """It ended as if it could not do its work."""


async def influencerctl(stack: Stack, system: System, *arguments: str) -> tuple[int, Any]:
    """Its status, 0 or 1, and what it answers in JSON. Raises CommandFailed for another one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ops", *arguments, "--json"),
        env={
            **os.environ,
            "DATABASE_URL": system.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": system.topics.prefix,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, faults = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    status = process.returncode
    if status not in (0, FOUND_SOMETHING_WRONG):
        told = f"{' '.join(arguments)} ended with {status}: {faults.decode()[-1000:]}"
        raise CommandFailed(told)
    return status, orjson.loads(answer)


async def verified(stack: Stack, system: System) -> list[str]:
    """Where streams or read models differ from the log, by row."""
    try:
        _, report = await influencerctl(stack, system, "verify", "--workers", "1")
    except CommandFailed as failed:
        return [broken("verify-differs", "verify", failed)]
    found = [
        broken("verify-differs", f"{each['model']} {each['key']}", each)
        for each in report["differences"][:NAMED]
    ]
    found += [broken("verify-differs", "the log", each) for each in report["damages"][:NAMED]]
    unequal = [
        model for model, found in report["hashes"].items() if found["log"] != found["database"]
    ]
    if (unequal or not report["sound"]) and not found:
        found.append(broken("verify-differs", "hashes", unequal))
    return found


async def rebuilt(stack: Stack, system: System) -> list[str]:
    """Where a rebuild from the log would differ from the read models."""
    try:
        status, outcome = await influencerctl(
            stack, system, "rebuild", "--dry-run", "--workers", "1"
        )
    except CommandFailed as failed:
        return [broken("rebuild-differs", "rebuild", failed)]
    return [broken("rebuild-differs", "read models", outcome)] if status else []


class Place(NamedTuple):
    """A partition, as one consumer reads it."""

    consumer: str
    topic: str
    partition: int


class Reached(NamedTuple):
    """`behind` are events; transaction markers take offsets too, and nobody waits for those."""

    position: int
    end: int
    behind: int


async def lags(stack: Stack, system: System) -> dict[Place, Reached]:
    """How far every consumer is, that is ours or has committed on our topics."""
    _, lag = await influencerctl(stack, system, "lag", "--max", "0", "--sample", "0")
    return {
        Place(row["consumer"], row["topic"], row["partition"]): Reached(
            row["position"], row["end"], row["behind"]
        )
        for row in lag["partitions"]
    }
