"""What Tab offers: every completion of ids, against a database that has such."""

import asyncio
from collections.abc import Sequence

import pytest

from services.ops import options
from tests.integration.ops.history import KEY_ID, History
from tests.integration.ops.installation import Installation, execute
from tests.unit.ops.test_commands import COMMANDS

PARKED = """
insert into read_model.quarantine (topic, partition, record_offset, stream_key, reason, headers)
values ('influencer.events.v1', 0, 1, $1, 'a bug', '[]')
"""
QUEUED = """
insert into {schema}.pgqueuer (priority, status, entrypoint, dedupe_key)
values (0, 'queued', 'x', $1)
"""
KEY = """
insert into control.api_keys (key_id, organization_id, name, key_hash, scopes, tier)
values ($1, $2, 'a key', sha256('x'), '{*}', 'standard')
"""
CONTENT_JOB = "job_01HXZ9G7KMV2QX8Y1S5RJW3B7T"


@pytest.fixture
async def known(
    damageable: Installation, history: History, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Sequence[str]]:
    """What each completion must offer."""
    create, url = history.completed, damageable.database_url
    await execute(
        url,
        "insert into control.organizations (organization_id, name) values ($1, 'Acme')",
        create.organization_id,
    )
    await execute(url, KEY, KEY_ID, create.organization_id)
    key = f"{create.organization_id}/{create.influencer_id}"
    await execute(url, PARKED, key)
    await execute(url, QUEUED.format(schema="render_queue"), create.job_id)
    await execute(url, QUEUED.format(schema="content"), CONTENT_JOB)
    for name, value in damageable.environment.items():
        monkeypatch.setenv(name, value)
    return {
        "complete_organizations": [create.organization_id],
        "complete_keys": [KEY_ID],
        "complete_influencers": [create.influencer_id],
        "complete_streams": [create.influencer_id],
        "complete_jobs": [create.job_id],
        "complete_queued_jobs": [create.job_id, CONTENT_JOB],
        "complete_parked": [key],
        "complete_events": [history.events[-1].id],
    }


async def test_every_kind_of_id_is_offered(known: dict[str, Sequence[str]]) -> None:
    asking = {name for name in vars(options) if name.startswith("complete_")}
    assert known.keys() == asking - {"complete_topics"}
    for name, expected in known.items():
        for value in expected:
            begun = value[: len(value) - 4]
            offered = await asyncio.to_thread(getattr(options, name), begun)
            assert value in dict(offered), name
            assert all(offered_value.startswith(begun) for offered_value, _ in offered), name
        assert await asyncio.to_thread(getattr(options, name), "nothing-like-it") == []


def test_every_argument_that_is_an_id_completes() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if (parameter.metavar or "").endswith("ID") or parameter.metavar == "STREAM":
                completes = getattr(parameter, "_custom_shell_complete", None)
                assert completes is not None, f"{name} {parameter.name}"
