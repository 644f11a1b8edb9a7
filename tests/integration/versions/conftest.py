"""An installation with a past: an event that an earlier release wrote, in version 1 of its type.

`tests/unit/schemas/versions.py` makes that past up: as long as the fixture lives, here and in the
processes that tests start, today's `InfluencerCreateRequested` is version 2.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest

from deploy.local.stack import Stack
from schemas.events import Event
from schemas.ids import Prefix, UlidSource
from schemas.profile import Profile
from services.core.domain.commands import CreateInfluencer
from services.core.eventlog.requests import Appended
from services.core.eventlog.topics import create_topics
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.serving import Service, serving
from tests.integration.eventlog.conftest import requested
from tests.integration.ops.history import completing, projecting, relaying
from tests.integration.ops.installation import Installation, copied_database
from tests.topics import new_topic_names
from tests.unit.schemas.versions import old_headers, old_value, register
from tests.waiting import eventually

IDS = UlidSource()
REPOSITORY = Path(__file__).parents[3]
REGISTERING = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import pytest
from tests.unit.schemas.versions import register
register(pytest.MonkeyPatch())
"""
"""`sitecustomize`: what Python runs before anything else."""


@dataclass(frozen=True)
class Past:
    """`created` is the old event as it is read today; `events` are all of the stream's."""

    installation: Installation
    service: Service
    caller: Caller
    created: Event
    events: tuple[Event, ...]


@pytest.fixture(scope="module")
async def past(
    stack: Stack, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Past]:
    """All is on the log and in the read models; relay and projector have ended."""
    folder = tmp_path_factory.mktemp("registering")
    (folder / "sitecustomize.py").write_text(REGISTERING)
    topics = new_topic_names()
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        patch.setenv("PYTHONPATH", str(folder))
        async with (
            copied_database(stack.database_url, template_database) as database_url,
            aiohttp.ClientSession() as http,
            serving(database_url, topics=topics) as service,
        ):
            installation = Installation(database_url, stack.bootstrap_servers, topics)
            caller = await new_caller(http, service)
            events = await _lived_through(installation, service, caller)
            yield Past(installation, service, caller, events[0], events)


async def _lived_through(
    installation: Installation, service: Service, caller: Caller
) -> tuple[Event, ...]:
    """A creation by the earlier release, and everything that followed by this one."""
    create = CreateInfluencer(
        organization_id=caller.organization_id,
        influencer_id=IDS.new(Prefix.INFLUENCER),
        project_id=caller.project_id,
        job_id=IDS.new(Prefix.JOB),
        profile=Profile(name="Ava Chen", style="minimalist"),
    )
    created = await _append(service, create)
    await _rewrite_as_of_old(service, created[0])
    # What the api has written of it: all that is read below comes from the log.
    await service.pool.execute("truncate read_model.influencers, read_model.jobs")
    async with relaying(installation), projecting(installation, service.pool):
        await _until_projected(service, 1)
        later = [event for c in completing(create) for event in await _append(service, c)]
        await _until_projected(service, 1 + len(later))
    return (*created, *later)


async def _append(service: Service, command: object) -> tuple[Event, ...]:
    outcome = await service.group_commit.append(requested(command))  # type: ignore[arg-type]
    assert isinstance(outcome, Appended)
    return tuple(outcome.events)


async def _rewrite_as_of_old(service: Service, event: Event) -> None:
    """The outbox has what the earlier release's append would have left there."""
    rewritten = await service.pool.execute(
        "update event_log.outbox set headers = $2, value = $3 where event_id = $1",
        event.id,
        orjson.dumps(old_headers(event)).decode(),
        old_value(event.data),  # type: ignore[arg-type]
    )
    assert rewritten == "UPDATE 1"


async def _until_projected(service: Service, count: int) -> None:
    async def projected() -> bool:
        parked = await service.pool.fetch("select reason from read_model.quarantine")
        assert not parked
        rows = await service.pool.fetchval("select count(*) from read_model.events")
        return bool(rows == count)

    await eventually(f"{count} events are projected", projected)
