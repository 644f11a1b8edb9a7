"""`influencerctl export` and `import`: the same events elsewhere, or nothing at all."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from backports import zstd

from deploy.local.stack import Stack
from services.core.eventlog.topics import create_topics
from services.ops.archive import importing
from services.ops.archive.exporting import unfinished
from services.ops.archive.file import LineWriter, read_lines, seal
from tests.bench.histories import history, interleaved
from tests.integration.ops.conftest import Filled
from tests.integration.ops.history import History
from tests.integration.ops.installation import Installation
from tests.integration.projector.log import Log
from tests.reading import read_records
from tests.topics import new_topic_names

Lines = list[bytes]


@pytest.fixture(scope="module")
async def exported(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "log.jsonl.zst"
    answer = await filled.installation.ctl("export", str(file))
    assert answer.status == 0, answer
    return file


@pytest.fixture
async def elsewhere(sound: Installation, stack: Stack) -> Installation:
    """An installation whose log is empty."""
    topics = new_topic_names()
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    return sound.moved(topics=topics)


async def records(installation: Installation, topic: str = "influencer") -> list[ConsumerRecord]:
    return await read_records(installation.bootstrap_servers, getattr(installation.topics, topic))


def bytes_of(file: Path) -> bytes:
    return file.read_bytes()


def content(record: ConsumerRecord) -> tuple[object, ...]:
    return record.partition, record.key, record.headers, record.value, record.timestamp


async def test_an_imported_log_is_the_same(
    exported: Path, sound: Installation, elsewhere: Installation, history: History
) -> None:
    dry = await elsewhere.ctl("import", str(exported), "--dry-run", "--json")
    assert (dry.status, dry.json["written"], dry.json["records"]) == (0, 0, len(history.events))
    assert not await records(elsewhere)
    refused = await elsewhere.ctl("import", str(exported), typed="n\n")
    assert refused.status == 1
    assert not await records(elsewhere)

    answer = await elsewhere.ctl("import", str(exported), "--yes", "--json")
    assert (answer.status, answer.json["written"]) == (0, len(history.events)), answer
    before, after = await records(sound), await records(elsewhere)
    assert [content(record) for record in after] == [content(record) for record in before]

    again = await elsewhere.ctl("import", str(exported), "--yes", "--json")
    assert (again.status, again.json["written"]) == (0, 0)
    assert len(await records(elsewhere)) == len(before)


async def test_the_same_log_is_exported_the_same(
    exported: Path, sound: Installation, tmp_path: Path
) -> None:
    second = tmp_path / "second.zst"
    assert (await sound.ctl("export", str(second))).status == 0
    assert list(read_lines(second))[1:-1] == list(read_lines(exported))[1:-1]
    assert (await sound.ctl("export", str(second))).err == f"{second} exists already\n"


@pytest.mark.parametrize("batch_size", ["10", "1000"])
async def test_a_file_that_changes_after_it_was_checked_is_not_taken_for_it(
    batch_size: str,
    exported: Path,
    elsewhere: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "log.zst"
    shutil.copy(exported, file)
    send = importing._send

    async def changed_first(*arguments: Any) -> None:
        await send(*arguments)
        file.write_bytes(bytes_of(exported)[:-1] + b"\0")

    monkeypatch.setattr(importing, "_send", changed_first)
    answer = await elsewhere.ctl("import", str(file), "--batch-size", batch_size, "--yes")
    assert (answer.status, "was changed after it had been checked" in answer.err) == (1, True)
    assert not await records(elsewhere)


async def test_a_dry_run_of_an_export_writes_nothing(sound: Installation, tmp_path: Path) -> None:
    file = tmp_path / "dry.zst"
    dry = await sound.ctl("export", str(file), "--dry-run", "--json")
    assert (dry.status, dry.json["resumes"], dry.json["offsets"] > 0) == (0, False, True)
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_topics_that_are_not_empty_are_left_alone(
    exported: Path, sound: Installation
) -> None:
    before = await records(sound)
    answer = await sound.ctl("import", str(exported), "--yes")
    assert (answer.status, answer.out) == (1, "")
    assert "holds events already" in answer.err
    assert await records(sound) == before


async def test_one_influencer_or_one_topic(
    sound: Installation, elsewhere: Installation, history: History, tmp_path: Path
) -> None:
    one = tmp_path / "one.zst"
    wanted = ("--influencer", history.failed.influencer_id, "--json")
    answer = await sound.ctl("export", str(one), *wanted)
    assert (answer.status, answer.json["streams"]) == (0, 1)
    assert answer.json["records"] == len(history.of(history.failed))
    assert (await elsewhere.ctl("import", str(one), "--yes")).status == 0
    assert len(await records(elsewhere)) == len(history.of(history.failed))

    media = await sound.ctl("export", str(tmp_path / "m"), "--topic", "media", "--json")
    assert (media.status, media.json["records"]) == (0, 0)
    unknown = await sound.ctl("export", str(tmp_path / "x"), "--topic", "nonsense")
    assert (unknown.status, unknown.err.count("\n")) == (2, 1)


async def test_the_latest_events_can_be_exported_but_not_imported(
    sound: Installation, elsewhere: Installation, tmp_path: Path, history: History
) -> None:
    latest, none = tmp_path / "latest.zst", tmp_path / "none.zst"
    answer = await sound.ctl("export", str(latest), "--since", "1d", "--json")
    assert (answer.status, answer.json["records"]) == (0, len(history.events))
    later = await sound.ctl("export", str(none), "--since", "2100-01-01", "--json")
    assert (later.status, later.json["records"]) == (0, 0)
    refused = await elsewhere.ctl("import", str(latest), "--yes")
    assert refused.status == 1
    assert "needs every stream from its beginning" in refused.err
    assert not await records(elsewhere)


async def test_an_export_that_was_killed_goes_on(
    sound: Installation, exported: Path, tmp_path: Path
) -> None:
    whole = list(read_lines(exported))
    file = tmp_path / "log.zst"
    for kept in (0, 1, len(whole) // 2, len(whole) - 1, len(whole)):
        with unfinished(file).open("wb") as left:
            writer = LineWriter(left)
            for line in whole[:kept]:
                writer.write(line)
            writer.flush()
            left.write(zstd.compress(b"half a frame")[:-3])
        answer = await sound.ctl("export", str(file), "--json")
        assert answer.status == 0, answer
        assert answer.json["resumed"] == max(0, min(kept, len(whole) - 1) - 1)
        assert list(read_lines(file))[1:-1] == whole[1:-1]
        assert not unfinished(file).exists()
        assert (await sound.ctl("import", str(file), "--dry-run")).err.startswith("the log of this")
        file.unlink()

    shutil.copy(exported, unfinished(file))
    other = await sound.ctl("export", str(file), "--topic", "media")
    assert (other.status, "unfinished export of something else" in other.err) == (1, True)


async def test_a_flipped_byte_anywhere_is_refused(
    exported: Path, elsewhere: Installation, tmp_path: Path
) -> None:
    whole = bytes_of(exported)
    damaged = tmp_path / "damaged.zst"
    chance = random.Random(5)
    places = {0, 4, 5, 6, len(whole) - 1, len(whole) - 33, len(whole) - 40}
    for place in places | {chance.randrange(len(whole)) for _ in range(20)}:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        damaged.write_bytes(flipped)
        answer = await elsewhere.ctl("import", str(damaged), "--yes")
        assert (answer.status, answer.err.count("\n")) == (1, 1), (place, answer)
        assert "nothing was written" in answer.err
    for length in (0, 1, 39, 40, len(whole) // 2, len(whole) - 1):
        damaged.write_bytes(whole[:length])
        answer = await elsewhere.ctl("import", str(damaged), "--yes")
        assert answer.status == 1, length
        assert "cut off" in answer.err
    assert not await records(elsewhere)


def without_a_line(lines: Lines) -> Lines:
    return [*lines[:4], *lines[5:]]


def with_two_swapped(lines: Lines) -> Lines:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def with_a_line_twice(lines: Lines) -> Lines:
    return [*lines[:4], lines[3], *lines[4:]]


def with_a_changed_value(lines: Lines) -> Lines:
    return [line.replace(b"calm", b"loud") for line in lines]


def without_a_footer(lines: Lines) -> Lines:
    return lines[:-1]


def with_more_after_the_footer(lines: Lines) -> Lines:
    return [*lines, lines[1]]


def with_another_count(lines: Lines) -> Lines:
    count = str(len(lines) - 2).encode()
    return [*lines[:-1], lines[-1].replace(b'"records":' + count, b'"records":7')]


def with_another_version(lines: Lines) -> Lines:
    return [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]]


def with_a_torn_line(lines: Lines) -> Lines:
    return [*lines[:3], lines[3][:40] + b"\n", *lines[4:]]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_a_line, "the footer says records"),
        (with_two_swapped, "the footer says"),
        (with_a_line_twice, "the footer says records"),
        (with_a_changed_value, "the footer says sha256"),
        (without_a_footer, "the footer is missing"),
        (with_more_after_the_footer, "lines after the footer"),
        (with_another_count, "the footer says records 7"),
        (with_another_version, "line 1: its version is 2"),
        (with_a_torn_line, "line 4: not JSON"),
    ],
)
async def test_a_file_that_was_edited_is_refused(
    exported: Path,
    elsewhere: Installation,
    tmp_path: Path,
    damage: Callable[[Lines], Lines],
    says: str,
) -> None:
    """Packed and sealed again, so that only the lines themselves can tell."""
    edited = tmp_path / "edited.zst"
    with edited.open("wb") as file:
        writer = LineWriter(file)
        for line in damage(list(read_lines(exported))):
            writer.write(line)
        writer.flush()
    seal(edited)
    answer = await elsewhere.ctl("import", str(edited), "--yes")
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert says in answer.err
    assert not await records(elsewhere)


async def test_a_damaged_log_is_exported_as_it_is_and_named(
    empty: Installation, elsewhere: Installation, tmp_path: Path
) -> None:
    events = list(history())
    async with Log(empty.bootstrap_servers, empty.topics) as log:
        await log.write([*events[:3], *events[4:], events[5]])
        await log.write_raw(b"\xff\x00", None, [("x", None), ("x", b"\xfe")], 3)
        await log.write_raw(None, b"\xff", [], 3)
    file = tmp_path / "log.zst"
    answer = await empty.ctl("export", str(file), "--json")
    assert answer.status == 1
    says = [fault["says"].rpartition(": ")[2] for fault in answer.json["faultsNamed"]]
    foreign = "is not an event of its key's stream"
    assert sorted(says) == sorted(
        ["expected sequence 4, got 5", "expected sequence 9, got 6", foreign, foreign]
    )
    refused = await elsewhere.ctl("import", str(file), "--yes")
    assert refused.status == 1
    assert "its log was damaged" in refused.err
    assert not await records(elsewhere)
    accepted = await elsewhere.ctl("import", str(file), "--yes", "--accept-faults")
    assert accepted.status == 0, accepted
    before, after = await records(empty), await records(elsewhere)
    # The foreign one with a key goes where its key belongs.
    assert {content(record)[1:] for record in after} == {content(record)[1:] for record in before}
    assert len(after) == len(before)


async def test_an_import_that_is_killed_goes_on_and_nothing_is_there_twice(
    empty: Installation, elsewhere: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "log.zst"
    async with Log(empty.bootstrap_servers, empty.topics) as log:
        await log.write(interleaved(250, at_once=50))
    assert (await empty.ctl("export", str(file))).status == 0
    command = ("import", str(file), "--yes", "--batch-size", "40")
    for fail_at, there in (
        ("import.sent:5", 160),
        ("import.committed:3", 280),
        ("import.sent", 280),
    ):
        killed = await elsewhere.ctl_process(*command, fail_at=fail_at)
        assert killed.status == -signal.SIGKILL, killed
        dry = await elsewhere.ctl("import", str(file), "--dry-run", "--json")
        assert (dry.status, dry.json["alreadyThere"]) == (0, there), dry
    other = tmp_path / "other.zst"
    assert (await empty.ctl("export", str(other))).status == 0
    refused = await elsewhere.ctl("import", str(other), "--yes")
    assert (refused.status, "holds events already" in refused.err) == (1, True)

    ended = await elsewhere.ctl(*command, "--json")
    assert ended.status == 0, ended
    before, after = await records(empty), await records(elsewhere)
    assert [content(record) for record in after] == [content(record) for record in before]
