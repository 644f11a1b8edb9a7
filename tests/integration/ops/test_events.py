"""`influencerctl events`: what subscribers see, for people and for scripts."""

import asyncio
import sys
from collections import defaultdict
from contextlib import aclosing
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from ulid import ULID

from services.ops.events import Span, records
from services.ops.settings import OperationsSettings
from services.ops.streams import StreamAddress, find_streams
from tests.integration.ops.history import History
from tests.integration.ops.installation import Installation

ALL = ("events", "tail", "--from-beginning", "--no-follow", "--json")


def spellings(identifier: str) -> tuple[str, str, str]:
    """As we write it, as a bare ULID and as a UUID."""
    bare = identifier.partition("_")[2]
    return identifier, bare, str(ULID.from_str(bare).to_uuid())


async def test_all_events_each_once_and_in_order_per_influencer(
    sound: Installation, history: History
) -> None:
    answer = await sound.ctl(*ALL)
    assert answer.status == 0
    shown = answer.json_lines
    assert {event["id"] for event in shown} == {event.id for event in history.events}
    assert len(shown) == len(history.events)
    sequences = defaultdict(list)
    for event in shown:
        sequences[event["subject"]].append(event["sequence"])
    for seen in sequences.values():
        assert seen == [str(n) for n in range(1, len(seen) + 1)]
    assert shown[0].keys() >= {"topic", "partition", "offset", "type", "time", "data"}


async def test_the_filters(sound: Installation, history: History) -> None:
    canceled = [event.id for event in history.of(history.canceled)]
    for spelling in spellings(history.canceled.influencer_id):
        answer = await sound.ctl(*ALL, "--influencer", spelling)
        assert [event["id"] for event in answer.json_lines] == canceled
    for spelling in spellings(history.canceled.job_id):
        answer = await sound.ctl(*ALL, "--job", spelling)
        assert [event["id"] for event in answer.json_lines] == canceled

    answer = await sound.ctl(*ALL, "--type", "JobCanceled", "--type", "InfluencerFailed")
    assert {event["subject"] for event in answer.json_lines} == {
        history.canceled.influencer_id,
        history.failed.influencer_id,
    }
    answer = await sound.ctl(
        *ALL, "--job", history.failed.job_id, "--type", "InfluencerFailed", "--limit", "1"
    )
    assert answer.json_lines[0]["data"]["error"]["code"] == "RENDER_BACKEND_ERROR"
    assert len((await sound.ctl(*ALL, "--limit", "3")).json_lines) == 3


async def test_since_a_time_or_a_while_ago(sound: Installation, history: History) -> None:
    middle = sorted(event.time for event in history.events)[len(history.events) // 2]
    later = {event.id for event in history.events if event.time >= middle}
    answer = await sound.ctl(*ALL, "--since", middle)
    assert {event["id"] for event in answer.json_lines} == later
    assert len((await sound.ctl(*ALL, "--since", "1d")).json_lines) == len(history.events)
    assert (await sound.ctl(*ALL, "--since", "9999-01-01")).out == ""
    assert len((await sound.ctl(*ALL, "--since", "0001-01-01")).json_lines) == len(history.events)


async def test_until_a_time(sound: Installation, history: History) -> None:
    middle = sorted(event.time for event in history.events)[len(history.events) // 2]
    sooner = {event.id for event in history.events if event.time < middle}
    for command in (ALL, ("events", "show", "--json"), ("events", "tail", "--json")):
        answer = await sound.ctl(*command, "--until", middle)
        assert {event["id"] for event in answer.json_lines} == sooner


async def test_by_partition_and_topic(sound: Installation, history: History) -> None:
    shown = (await sound.ctl(*ALL)).json_lines
    for partition in {event["partition"] for event in shown}:
        answer = await sound.ctl(*ALL, "--partition", str(partition), "--topic", "influencer")
        assert answer.json_lines == [e for e in shown if e["partition"] == partition]
    assert (await sound.ctl(*ALL, "--topic", "media")).out == ""
    both = await sound.ctl(*ALL, "--topic", "media", "--topic", sound.topics.influencer)
    assert len(both.json_lines) == len(history.events)


async def test_listing_what_is_there_by_now(sound: Installation, history: History) -> None:
    answer = await sound.ctl("events", "show", "--job", history.failed.job_id, "--json")
    assert [e["id"] for e in answer.json_lines] == [e.id for e in history.of(history.failed)]
    elsewhere = await sound.ctl(
        *("events", "show", "--influencer", history.failed.influencer_id),
        *("--organization", "00000000-0000-0000-0000-000000000000"),
    )
    assert (elsewhere.status, elsewhere.out) == (1, "")


async def test_one_influencer_is_read_from_its_partition_alone(
    sound: Installation, history: History
) -> None:
    """Whether Postgres says where it is, or its organization is given."""
    influencer, organization = history.failed.influencer_id, history.failed.organization_id
    settings = OperationsSettings(database_url=SecretStr(sound.database_url))
    for given in (None, organization):
        streams = await find_streams(settings, influencer, given)
        assert streams == [StreamAddress(organization, influencer)]
    span = Span([sound.topics.influencer], streams=streams, from_beginning=True)
    async with aclosing(records(sound.bootstrap_servers, span)) as found:
        read = [record async for record in found]
    assert len({record.partition for record in read}) == 1
    keys = [record.key for record in read if record.key == streams[0].key]
    assert len(keys) == len(history.of(history.failed))


async def test_what_is_before_its_first_event_is_passed_over_but_only_if_that_is_there(
    sound: Installation, history: History
) -> None:
    address = StreamAddress(history.failed.organization_id, history.failed.influencer_id)
    settings = OperationsSettings(database_url=SecretStr(sound.database_url))
    (found,) = await find_streams(settings, address.stream_id)
    assert found.first_offset is not None
    for hint in (None, found.first_offset, found.first_offset + 1, 1_000_000):
        stream = replace(address, first_offset=hint)
        span = Span([sound.topics.influencer], streams=[stream], from_beginning=True)
        async with aclosing(records(sound.bootstrap_servers, span)) as all_records:
            read = [record async for record in all_records]
        if hint == found.first_offset:
            assert read[0].offset == hint
        of_stream = [record for record in read if record.key == address.key]
        assert len(of_stream) == len(history.of(history.failed))


async def test_without_postgres_the_log_tells_it_all_the_same(
    sound: Installation, history: History
) -> None:
    away = sound.moved(database_url="postgresql://nobody:x@127.0.0.1:1/none")
    canceled = [event.id for event in history.of(history.canceled)]
    for option, value in (
        ("--influencer", history.canceled.influencer_id),
        ("--job", history.canceled.job_id),
    ):
        answer = await away.ctl(*ALL, option, value)
        assert [event["id"] for event in answer.json_lines] == canceled


@pytest.mark.parametrize(
    "options",
    [
        ("--topic", "influencers"),
        ("--until", "tomorrow"),
        ("--influencer", "inf_nothing"),
        ("--influencer", "job_01HXZ9G7KMV2QX8Y1S5RJW3B01"),
        ("--job", "?"),
        ("--since", "yesterday"),
        ("--since", "999999d"),
        ("--type", "InfluencerRaedy"),
        ("--limit", "0"),
    ],
)
async def test_what_cannot_be_meant_is_wrong_usage(
    sound: Installation, options: tuple[str, str]
) -> None:
    answer = await sound.ctl(*ALL, *options)
    assert answer.status == 2
    assert answer.out == ""
    assert options[0] == "--limit" or answer.err.count("\n") == 1


async def test_for_people_a_line_an_event(sound: Installation, history: History) -> None:
    answer = await sound.ctl_process("events", "tail", "--from-beginning", "--no-follow")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.count("\n") == len(history.events)
    ready = next(line for line in answer.out.splitlines() if "InfluencerReady" in line)
    assert " #7 " in ready


async def test_following_shows_what_comes_later(empty: Installation) -> None:
    following = ("events", "tail", "--from-beginning", "--json", "--limit", "2")
    async with (
        empty.ctl_at_work(*following) as process,
        AIOKafkaProducer(bootstrap_servers=empty.bootstrap_servers) as producer,
    ):
        for partition in (0, 1):
            await producer.send_and_wait(
                empty.topics.influencer, b"damaged [/]", None, partition, headers=[("ce_id", b"x")]
            )
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.count(b"\n") == 2
    shown = await empty.ctl("events", "tail", "--no-follow")
    assert shown.status == 0
    assert shown.out.count("(no type)") == 2


async def test_a_reader_that_has_seen_enough_is_no_fault(sound: Installation) -> None:
    command = " ".join((sys.executable, "-m", "services.ops", *ALL))
    process = await asyncio.create_subprocess_shell(
        f"{command} | head -1",
        env=sound.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.count(b"\n") == 1
    assert err == b""


async def test_show_one_event(sound: Installation, history: History) -> None:
    wanted = history.of(history.completed)[-1]
    for spelling in spellings(wanted.id):
        answer = await sound.ctl("events", "show", spelling, "--json")
        assert answer.status == 0
        assert answer.json["id"] == wanted.id
        assert answer.json["data"] == {"changes": {"vibe": "calm"}}
    shown = await sound.ctl("events", "show", wanted.id)
    assert shown.out.startswith("InfluencerUpdated  ")
    assert f"{wanted.traceparent}\n" in shown.out
    assert '"vibe": "calm"' in shown.out


@pytest.mark.parametrize("number", ["0" * 26, "7" + "Z" * 25, "01HXZ9G7KMV2QX8Y1S5RJW3B7T"])
async def test_an_event_that_is_not_there(sound: Installation, number: str) -> None:
    answer = await sound.ctl("events", "show", f"evt_{number}")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == f"there is no event evt_{number} on the log\n"


async def test_show_refuses_what_is_no_event_id(sound: Installation) -> None:
    answer = await sound.ctl("events", "show", "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T")
    assert answer.status == 2
    assert answer.err.count("\n") == 1
