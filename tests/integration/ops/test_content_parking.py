"""`influencerctl … --consumer content`: what that service has parked, tried again or given up."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from services.content.intake import SUBSCRIPTION
from services.core.eventlog.topics import TopicNames
from services.core.postgres import Pool
from tests.bench.histories import history
from tests.integration.content.subscription import content_pool, subscribed
from tests.integration.ops.installation import Installation
from tests.integration.projector.log import Log
from tests.waiting import eventually

PARTITION = 2
OF_CONTENT = ("--consumer", "content")


@pytest.fixture
async def pool_of_content(database_url: str) -> AsyncIterator[Pool]:
    async with content_pool(database_url) as pool:
        yield pool


@pytest.fixture
async def subscriber(
    stack: Stack, topics: TopicNames, pool_of_content: Pool
) -> AsyncIterator[None]:
    async with subscribed(stack.bootstrap_servers, topics, pool_of_content):
        yield


async def test_what_the_content_service_has_parked_is_listed_shown_and_given_up(
    stack: Stack, topics: TopicNames, empty: Installation, subscriber: None, pool_of_content: Pool
) -> None:
    holed, whole = list(history()), list(history())
    async with Log(stack.bootstrap_servers, topics) as log:
        await log.write([*holed[:1], *holed[2:], *whole], PARTITION)

    async def known() -> dict[str, int]:
        rows = await pool_of_content.fetch(
            "select influencer_id, sequence from content.influencers"
        )
        return {row["influencer_id"]: row["sequence"] for row in rows}

    async def others_went_on() -> bool:
        return (await known()).get(whole[0].subject) == len(whole)

    await eventually("the other stream goes on", others_went_on)
    assert (await empty.ctl("quarantine", "list", "--json")).json == {"streams": []}
    listed = await empty.ctl("quarantine", "list", *OF_CONTENT, "--json")
    assert listed.status == 1
    [row] = listed.json["streams"]
    assert (row["stream"], row["records"], row["kind"]) == (holed[0].key, len(holed) - 2, "gap")
    assert row["reason"] == "expected sequence 2, got 3"
    shown = await empty.ctl("quarantine", "show", holed[0].subject, *OF_CONTENT, "--json")
    assert [record["id"] for record in shown.json["parked"]] == [event.id for event in holed[2:]]
    status = (await empty.ctl("status", "--json")).json["parts"]["quarantine"]
    assert (status["state"], status["parkedByContent"]) == ("wrong", 1)
    assert status["says"] == "0 streams, 0 events; 1 streams parked by content"

    again = await empty.ctl("quarantine", "retry", "--all", *OF_CONTENT, "--yes", "--json")
    assert [stream["stream"] for stream in again.json["streams"]] == [holed[0].key]
    skip = ("quarantine", "skip", holed[0].subject, *OF_CONTENT, "--by", "ann", "--reason", "lost")
    assert (await empty.ctl(*skip, "--dry-run", "--json")).json == {"dryRun": True, "skipped": None}
    assert (await empty.ctl(*skip, "--sequence", "3")).status == 2
    done = await empty.ctl(*skip, "--yes", "--json")
    assert (done.json["skipped"]["firstSequence"], done.json["skipped"]["lastSequence"]) == (2, 2)

    async def went_on() -> bool:
        return (await known())[holed[0].subject] == len(holed)

    await eventually("it goes on without the event", went_on)
    assert (await empty.ctl("quarantine", "list", *OF_CONTENT)).status == 0
    kept = (await empty.ctl("quarantine", "list", "--skipped", *OF_CONTENT, "--json")).json
    assert kept["skipped"] == [done.json["skipped"]]
    assert kept["skipped"][0]["skippedBecause"] == "lost (by ann)"
    gone = await empty.ctl("quarantine", "show", holed[0].subject, *OF_CONTENT)
    assert (gone.status, "is not in quarantine" in gone.err) == (1, True)


async def test_who_is_behind_is_lagging_and_then_stuck(
    stack: Stack, topics: TopicNames, empty: Installation, pool_of_content: Pool
) -> None:
    events = list(history())
    async with Log(stack.bootstrap_servers, topics) as log:
        await log.write(events, PARTITION)
    await pool_of_content.execute(
        "insert into content.subscriber_positions values ($1, $2, $3, 0, true)",
        topics.named(SUBSCRIPTION),
        topics.influencer,
        PARTITION,
    )

    async def is_lagging() -> bool:
        part = (await empty.ctl("status", "--json")).json["parts"]["lag"]
        return bool(part["consumers"]["content"]["state"] == "lagging")

    await eventually("it has waited for longer than is fresh", is_lagging)
    stuck = (await empty.ctl("status", "--stuck-after", "1", "--json")).json["parts"]["lag"]
    assert stuck["state"] == "wrong"
    assert stuck["consumers"]["content"]["state"] == "stuck"
    assert stuck["consumers"]["content"]["events"] == len(events)
    assert "content stuck: " in stuck["says"]
