"""Each disagreement between log and database, journal or media is named by its own rule."""

from copy import deepcopy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.ops.checker.facts import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC
from services.ops.checker.journal import JournalUnreadable
from tests.faults.checker import (
    Allowances,
    DatabaseContents,
    Journal,
    JournalEntry,
    LogContents,
    check,
    read_journal,
)
from tests.unit.ops.logs import (
    ORGANIZATION,
    Log,
    complete_database,
    complete_log,
    identifier,
    image,
    influencer_state,
    make_ready,
    ready_database,
    request_content,
    sound_log,
    start,
)

PLACE = (INFLUENCER_TOPIC, 0)
KEY = f"{ORGANIZATION}/{identifier('inf', 1)}"


def ready_log() -> Log:
    log = Log()
    make_ready(log, 1, 1)
    return log


def rules(database: DatabaseContents, allowed: Allowances | None = None) -> set[str]:
    return set(check(ready_log().contents(), database, allowed=allowed).rules_broken)


def changed(table: str, **changes: Any) -> DatabaseContents:
    """The sound database with the first row of `table` changed."""
    database = deepcopy(ready_database(ready_log()))
    rows = getattr(database, table)
    damaged: dict[str, Any] = {table: [{**rows[0], **changes}, *rows[1:]]}
    return replace(database, **damaged)


def test_rows_that_agree_pass() -> None:
    assert check(ready_log().contents(), ready_database(ready_log())).violations == []


@pytest.mark.parametrize(
    ("table", "changes", "rule"),
    [
        ("streams", {"sequence": 6}, "stream-differs"),
        ("streams", {"state": {"influencer": influencer_state(status="failed")}}, "stream-differs"),
        ("streams", {"stream_id": identifier("inf", 7)}, None),
        ("influencers", {"sequence": 4}, "influencer-differs"),
        ("influencers", {"status": "training"}, "influencer-differs"),
        ("influencers", {"state": influencer_state(status="training")}, "influencer-differs"),
        (
            "influencers",
            {"state": influencer_state(referenceImages=[image(111), image(110)])},
            "influencer-differs",
        ),
        ("influencers", {"state": influencer_state(errorMessage="Oh")}, "influencer-differs"),
        ("influencers", {"state": influencer_state(profile={"name": "X"})}, "influencer-differs"),
        ("jobs", {"status": "running"}, "job-row-differs"),
        ("jobs", {"sequence": 4}, "job-row-differs"),
        ("jobs", {"kind": "influencer_clone"}, "job-row-differs"),
        ("jobs", {"state": {"stage": "done", "images": []}}, "job-row-differs"),
        ("history", {"event_id": identifier("evt", 99)}, "history-row-differs"),
        ("jobs", {"stream_id": identifier("inf", 2)}, "job-row-differs"),
        ("history", {"data": {}}, "history-row-differs"),
        ("history", {"version": 2}, "history-row-differs"),
        ("history", {"correlation_id": identifier("req", 99)}, "history-row-differs"),
        ("assets", {"project_id": ORGANIZATION}, "asset-row-differs"),
        ("assets", {"influencer_id": None}, "asset-row-differs"),
        ("assets", {"state": {}}, "asset-row-differs"),
    ],
)
def test_a_row_that_differs_is_named(table: str, changes: dict[str, Any], rule: str | None) -> None:
    expected = {rule} if rule else {"stream-row-missing", "stream-row-unexpected"}
    assert rules(changed(table, **changes)) == expected


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("streams", "stream-row-missing"),
        ("influencers", "influencer-row-missing"),
        ("jobs", "job-row-missing"),
        ("history", "history-row-missing"),
        ("assets", "asset-row-missing"),
    ],
)
def test_a_missing_row_is_named(table: str, rule: str) -> None:
    emptied: dict[str, Any] = {table: []}
    assert rules(replace(ready_database(ready_log()), **emptied)) == {rule}


def test_rows_of_what_is_not_on_the_log_are_named() -> None:
    report = check(LogContents([], {PLACE: 5}), ready_database(ready_log()))
    assert set(report.rules_broken) == {
        "stream-row-unexpected",
        "influencer-row-unexpected",
        "job-row-unexpected",
        "history-row-unexpected",
        "asset-row-unexpected",
    }


def test_rows_of_all_topics_that_agree_pass() -> None:
    log = complete_log()
    report = check(log.contents(), complete_database(log))
    assert (report.violations, report.streams, report.jobs) == ([], 3, 2)


@pytest.mark.parametrize(
    ("table", "place", "changes", "rule"),
    [
        ("streams", 1, {"sequence": 1}, "stream-differs"),
        ("streams", 1, {"state": {"job": {"status": "running"}}}, "stream-differs"),
        ("streams", 2, {"state": {}}, "stream-differs"),
        ("jobs", 1, {"status": "running"}, "job-row-differs"),
        ("jobs", 1, {"influencer_id": identifier("inf", 2)}, "job-row-differs"),
        ("jobs", 1, {"stream_id": identifier("cnt", 2)}, "job-row-differs"),
        ("assets", 2, {"influencer_id": None}, "asset-row-differs"),
        ("assets", 3, {"influencer_id": identifier("inf", 1)}, "asset-row-differs"),
        ("history", 5, {"data": {}}, "history-row-differs"),
        ("history", 7, {"data": {}}, "history-row-differs"),
    ],
)
def test_a_row_of_content_or_of_an_upload_that_differs_is_named(
    table: str, place: int, changes: dict[str, Any], rule: str
) -> None:
    log = complete_log()
    database = complete_database(log)
    rows = list(getattr(database, table))
    damaged: dict[str, Any] = {
        table: [*rows[:place], {**rows[place], **changes}, *rows[place + 1 :]]
    }
    assert set(check(log.contents(), replace(database, **damaged)).rules_broken) == {rule}


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("streams", "stream-row-missing"),
        ("jobs", "job-row-missing"),
        ("assets", "asset-row-missing"),
        ("history", "history-row-missing"),
    ],
)
def test_a_missing_row_of_content_or_of_an_upload_is_named(table: str, rule: str) -> None:
    log = complete_log()
    database = complete_database(log)
    damaged: dict[str, Any] = {table: getattr(database, table)[:-1]}
    assert set(check(log.contents(), replace(database, **damaged)).rules_broken) == {rule}


@pytest.mark.parametrize("topic", [CONTENT_TOPIC, MEDIA_TOPIC])
def test_positions_of_every_topic_are_compared(topic: str) -> None:
    log = complete_log()
    database = complete_database(log)
    for position, rule in ((9, "position-beyond-end"), (0, "position-behind")):
        positions = {**database.positions, (topic, 0): position}
        report = check(log.contents(), replace(database, positions=positions))
        assert set(report.rules_broken) == {rule}


def test_accepted_content_is_looked_for_by_its_own_stream() -> None:
    log = complete_log()
    content = JournalEntry("accepted", ORGANIZATION, identifier("cnt", 1), identifier("job", 2))
    lost = JournalEntry("accepted", ORGANIZATION, identifier("cnt", 3), identifier("job", 3))
    moved = content._replace(stream_id=identifier("cnt", 3))

    def broken(*entries: JournalEntry) -> set[str]:
        return set(check(log.contents(), journal=Journal(entries)).rules_broken)

    assert broken(content) == set()
    assert broken(lost) == {"accepted-but-missing"}
    assert broken(moved) == {"accepted-on-another-stream"}


def test_rows_of_content_that_waits_in_the_outbox_are_not_compared() -> None:
    log = complete_log()
    database = complete_database(log)
    request_content(log, 2, 7)
    key = f"{ORGANIZATION}/{identifier('cnt', 2)}"
    waiting = {"outbox_id": 1, "event_id": identifier("evt", 99), "key": key}
    allowed = Allowances(running_jobs=True, waiting_outbox=True, lagging_projector=True)
    report = check(log.contents(), replace(database, outbox=[waiting]), allowed=allowed)
    assert report.violations == []


def test_a_filled_outbox_is_named_and_its_streams_are_not_compared() -> None:
    waiting = {"outbox_id": 1, "event_id": identifier("evt", 9), "key": KEY}
    database = replace(changed("streams", sequence=6), outbox=[waiting])
    assert rules(database) == {"outbox-not-empty"}
    assert rules(database, Allowances(waiting_outbox=True)) == set()


def test_quarantine_is_named() -> None:
    row = {"stream_key": KEY, "reason": "unknown type", "partition": 0, "record_offset": 3}
    assert rules(replace(ready_database(ready_log()), quarantine=[row])) == {"quarantined"}


def test_positions_are_compared_with_the_log() -> None:
    sound = ready_database(ready_log())
    assert rules(replace(sound, positions={PLACE: 6})) == {"position-beyond-end"}
    assert rules(replace(sound, positions={PLACE: 4})) == {"position-behind"}
    assert rules(replace(sound, positions={PLACE: 4}), Allowances(lagging_projector=True)) == set()


def test_rows_of_a_stream_with_a_hole_are_not_compared() -> None:
    log = ready_log()
    del log.records[2]
    report = check(
        log.contents(),
        replace(ready_database(ready_log()), positions={PLACE: 4, (INFLUENCER_TOPIC, 1): 0}),
    )
    assert set(report.rules_broken) == {"sequence-gap", "position-behind"}


def entry(outcome: str, influencer: int | None, job: int | None) -> JournalEntry:
    return JournalEntry(
        outcome,
        ORGANIZATION,
        identifier("inf", influencer) if influencer else None,
        identifier("job", job) if job else None,
    )


ALL_ASKED = [
    entry("accepted", 1, 1),
    entry("unknown", 2, None),
    entry("accepted", 3, 3),
    entry("accepted", 3, 4),
    entry("accepted", 4, None),
]


@pytest.mark.parametrize(
    ("entries", "complete", "expected"),
    [
        (ALL_ASKED, True, set()),
        ([*ALL_ASKED, entry("refused", 1, None), entry("refused", 9, None)], True, set()),
        ([entry("accepted", 1, 99)], False, {"accepted-but-missing"}),
        ([entry("accepted", 99, None)], False, {"accepted-but-missing"}),
        ([entry("accepted", 2, 1)], False, {"accepted-on-another-stream"}),
        ([entry("refused", 1, None)], False, {"refused-but-logged"}),
        ([entry("refused", None, 1)], False, {"refused-but-logged"}),
        (ALL_ASKED[1:], True, {"nobody-asked-for"}),
        ([*ALL_ASKED[1:], entry("unknown", None, None)], True, set()),
    ],
)
def test_the_journal_is_held_against_the_log(
    entries: list[JournalEntry], complete: bool, expected: set[str]
) -> None:
    report = check(sound_log().contents(), journal=Journal(entries, complete))
    assert set(report.rules_broken) == expected


def test_a_journal_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_bytes(orjson.dumps({"at": "now", "outcome": "accepted", "jobId": "job_1"}) + b"\n\n")
    assert read_journal(file, complete=False).entries == [
        JournalEntry("accepted", None, None, "job_1")
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"outcome": "maybe"}'])
def test_a_journal_that_is_none_is_refused_by_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text(f"{line}\n")
    with pytest.raises(JournalUnreadable, match=r"journal.jsonl:1"):
        read_journal(file, complete=False)


def test_media_are_compared_by_their_bytes(tmp_path: Path) -> None:
    content = b"a picture"
    digest = sha256(content).hexdigest()
    log = Log()
    job_id = start(log, 1, 1)
    picture = {**image(1), "sha256": digest, "thumbnailUrl": f"/media/{digest}.webp"}
    log.add(1, "InfluencerImageRendered", jobId=job_id, index=0, total=2, image=picture)

    def broken() -> set[str]:
        allowed = Allowances(running_jobs=True)
        return set(check(log.contents(), media_folder=tmp_path, allowed=allowed).rules_broken)

    assert broken() == {"image-missing", "thumbnail-missing"}
    file = tmp_path / ORGANIZATION / f"{digest}.png"
    file.parent.mkdir()
    file.write_bytes(content[:-1])
    assert broken() == {"image-bytes-differ"}
    file.write_bytes(content)
    assert broken() == set()
