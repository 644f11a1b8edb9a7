"""`influencerctl lag`: exact counts, and no count at all when it can't be had."""

import asyncio
import signal
from itertools import count as count_from
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from services.core.eventlog.topics import TopicNames
from services.ops.archive.importing import IMPORT_GROUP
from services.ops.lag import Rate, lag_meter
from services.ops.settings import OperationsSettings
from tests.integration.ops.history import History, commit_as_renderer, make_history
from tests.integration.ops.installation import Answer, Installation, execute

LAG = ("lag", "--sample", "0")


def behind(answer: Answer) -> dict[str, int]:
    return {name: told["behind"] for name, told in answer.json["consumers"].items()}


def cells(answer: Answer) -> list[list[str]]:
    """The first two cells of each row of the first table."""
    rows = [line.split("│")[1:3] for line in answer.out.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


async def produce(installation: Installation, value: bytes, key: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=installation.bootstrap_servers) as producer:
        await producer.send_and_wait(installation.topics.influencer, value, key, 0)


async def test_markers_of_transactions_are_nothing_to_wait_for(sound: Installation) -> None:
    answer = await sound.ctl("lag", "--max", "0", "--json")
    assert answer.status == 0, answer.out
    assert behind(answer) == {"projector": 0, "renderer": 0}
    assert answer.json["outbox"] == {"depth": 0, "ageSeconds": 0.0}
    rows = answer.json["partitions"]
    assert len(rows) == 36 + 12, "the projector reads all three topics"
    assert any(row["position"] < row["end"] for row in rows), "an end lies behind a marker"


async def test_it_counts_the_events_that_nobody_has_read(empty: Installation) -> None:
    history = await make_history(empty, projected=False)
    count = len(history.events)
    answer = await empty.ctl(*LAG, "--json")
    assert answer.status == 0
    assert behind(answer) == {"projector": count, "renderer": count}
    assert (await empty.ctl(*LAG, "--max", str(count))).status == 0
    assert (await empty.ctl(*LAG, "--max", str(count - 1))).status == 1

    await commit_as_renderer(empty)
    assert behind(await empty.ctl(*LAG, "--json"))["renderer"] == 0


async def test_rates_and_the_time_to_catch_up(empty: Installation) -> None:
    """A renderer that reads, a projector that stands still, a subscriber that stands still too."""
    history = await make_history(empty, projected=False)
    count = len(history.events)
    settings = OperationsSettings(
        database_url=SecretStr(empty.database_url),
        kafka_bootstrap_servers=empty.bootstrap_servers,
        kafka_topic_prefix=empty.topics.prefix,
    )
    clock = count_from(100.0)
    await commit_as_renderer(empty, behind=1, group="somebody-else")
    async with lag_meter(settings, lambda: float(next(clock))) as meter:
        first = await meter.measure()
        await commit_as_renderer(empty)
        await produce(empty, b"{}", b"a/b")
        later = await meter.measure()
    assert [c.seconds_to_catch_up for c in first.consumers[:2]] == [None, None]
    told = {consumer.consumer: consumer for consumer in later.consumers}
    assert told["renderer"].rate == Rate(reads=count, arrives=1.0)
    assert told["renderer"].seconds_to_catch_up == 1 / (count - 1)
    assert told["projector"].rate == Rate(reads=0.0, arrives=1.0)
    assert told["projector"].seconds_to_catch_up == float("inf")
    assert told[empty.topics.named("somebody-else")].behind >= 1

    stuck = await empty.ctl("lag", "--sample", "0.1", "--max-seconds", "60")
    assert stuck.status == 1
    assert "never" in stuck.out


async def test_how_far_an_import_was_is_no_lag(empty: Installation) -> None:
    """Its group has committed how many records it wrote, once and for all."""
    await make_history(empty, projected=False)
    await commit_as_renderer(empty)
    await commit_as_renderer(empty, behind=1, group=f"{IMPORT_GROUP}.{'0' * 32}")
    assert behind(await empty.ctl(*LAG, "--json")).keys() == {"projector", "renderer"}


async def test_watching_it(sound: Installation) -> None:
    async with sound.ctl_at_work("lag", "--watch", "--every", "0.1", "--json") as process:
        assert process.stdout is not None
        for _ in range(3):
            measured = orjson.loads(await process.stdout.readline())
            assert measured["consumers"]["projector"]["behind"] == 0
        assert measured["consumers"]["projector"]["readsPerSecond"] == 0.0
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130


async def test_it_waits_a_moment_for_what_is_committed_but_not_marked_yet(
    empty: Installation,
) -> None:
    async with (
        AIOKafkaProducer(
            bootstrap_servers=empty.bootstrap_servers, transactional_id=f"held-{uuid4()}"
        ) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(empty.topics.influencer, b"{}", b"a/b", 0)
        assert behind(await empty.ctl(*LAG, "--json"))["projector"] == 0, "nobody could read it"
        measuring = asyncio.create_task(empty.ctl(*LAG, "--json"))
        await asyncio.wait({measuring}, timeout=0.4)
    assert behind(await measuring)["projector"] == 1


async def test_it_says_where_the_projector_stands(
    damageable: Installation, history: History
) -> None:
    stream = history.of(history.completed)
    await execute(
        damageable.database_url,
        "update read_model.projection_offsets set next_offset = 0 where next_offset >= $1",
        len(stream),
    )
    answer = await damageable.ctl(*LAG)
    assert answer.status == 0
    assert f"{damageable.topics.influencer}" in answer.out
    told = behind(await damageable.ctl(*LAG, "--json"))
    assert cells(answer)[:2] == [["projector", str(told["projector"])], ["renderer", "0"]]
    assert told["projector"] >= len(stream)


async def test_what_waits_in_the_outbox_is_counted_too(damageable: Installation) -> None:
    await execute(
        damageable.database_url,
        "insert into event_log.outbox (event_id, slot, topic, key, headers, value, created_at)"
        " values ('evt_x', 0, 'influencer.events.v1', 'a/b', '{}', '{}', now() - interval '1 h')",
    )
    answer = await damageable.ctl("lag", "--max", "0")
    assert answer.status == 1
    assert "1 waiting, the oldest 360" in answer.out


async def test_without_topics_it_does_not_say_that_all_is_well(sound: Installation) -> None:
    answer = await sound.moved(topics=TopicNames("nowhere.")).ctl("lag")
    assert answer.status == 1
    assert "there is no topic nowhere.influencer.events.v1" in answer.err


async def test_a_coordinator_that_is_away_is_not_a_lag(
    sound: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("services.ops.consumer_groups.fetch_committed", never)
    monkeypatch.setattr("services.ops.consumer_groups.COORDINATOR_PATIENCE", 0.2)
    answer = await sound.ctl("lag")
    assert answer.status == 3
    assert "the coordinator of group" in answer.err
    status = (await sound.ctl("status", "--json")).json
    assert status["parts"]["lag"]["state"] == "down"


async def test_a_silent_server_does_not_hang_it(sound: Installation, silent_server: str) -> None:
    clock = asyncio.get_running_loop().time
    for silent in (
        sound.moved(bootstrap_servers=silent_server),
        sound.moved(database_url=f"postgresql://nobody:x@{silent_server}/none"),
    ):
        for command in (("lag",), ("status",), ("events", "show", "evt_" + "0" * 26)):
            if command[0] == "events" and silent.bootstrap_servers != silent_server:
                continue
            begun = clock()
            answer = await silent.ctl(*command, "--timeout", "0.3")
            assert answer.status == 3, answer
            assert clock() - begun < 5
            assert (answer.err + answer.out).count("no answer") + answer.err.count("found") >= 1
            assert answer.err.count("\n") <= 1


async def test_a_dependency_that_is_away_takes_one_line(sound: Installation) -> None:
    for name, away in (
        ("kafka", sound.moved(bootstrap_servers="127.0.0.1:1")),
        ("postgres", sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")),
    ):
        answer = await away.ctl_process("lag")
        assert (answer.status, answer.out) == (3, "")
        assert answer.err.startswith(f"{name} is unavailable: ")
        assert answer.err.count("\n") == 1


async def test_the_content_service_is_told_of_once_it_has_run(empty: Installation) -> None:
    """It keeps its positions itself."""
    history = await make_history(empty)
    await execute(
        empty.database_url,
        "insert into content.subscriber_positions values ($1, $2, 0, 0, true)",
        empty.topics.named("influencer-content"),
        empty.topics.influencer,
    )
    told = behind(await empty.ctl(*LAG, "--json"))
    assert told["content"] == len(history.events)
