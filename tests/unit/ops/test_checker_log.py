"""Each kind of damage to a log is named by its own rule, and by no other."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from services.ops.checker.facts import CONTENT_TOPIC, MEDIA_TOPIC
from tests.faults.checker import Allowances, LogContents, Record, check
from tests.unit.ops.logs import (
    Log,
    complete_log,
    end_content,
    generate_content,
    identifier,
    image,
    make_ready,
    render,
    request_content,
    sound_log,
    start,
)

OTHER_PROJECT = "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a03"


def rules(records: list[Record], allowed: Allowances | None = None) -> set[str]:
    return set(check(LogContents(records), allowed=allowed).rules_broken)


def with_header(record: Record, name: str, value: str | None) -> Record:
    kept = [(n, v) for n, v in record.headers if n != name]
    return record._replace(headers=kept if value is None else [*kept, (name, value.encode())])


def with_data(record: Record, **changes: Any) -> Record:
    return record._replace(value=orjson.dumps({**orjson.loads(record.value or b""), **changes}))


def test_a_sound_log_passes() -> None:
    report = check(sound_log().contents())
    assert report.violations == []
    assert (report.streams, report.jobs) == (4, 4)


def test_an_empty_log_passes() -> None:
    assert check(LogContents([])).is_sound


@pytest.mark.parametrize("header", [name for name, _ in sound_log().records[0].headers])
def test_a_missing_header_is_named(header: str) -> None:
    last = with_header(sound_log().records[-1], header, None)
    assert rules([*sound_log().records[:-1], last]) == {"header-missing"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_sequence", "01"),
        ("ce_sequence", "0"),
        ("ce_time", "2026-11-23T09:15:02Z"),
        ("ce_id", "01HXZ9G7KMV2QX8Y1S5RJW3B7T"),
        ("ce_source", "/services/other"),
        ("traceparent", "00-0-0-01"),
        ("ce_organizationid", "ACME"),
    ],
)
def test_a_malformed_header_is_named(header: str, value: str) -> None:
    last = with_header(sound_log().records[-1], header, value)
    assert rules([*sound_log().records[:-1], last]) == {"header-malformed"}


Damage = Callable[[Record], Record]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda r: r._replace(value=(r.value or b"")[:-3]), "data-unreadable"),
        (lambda r: r._replace(value=None), "data-unreadable"),
        (lambda r: r._replace(value=b"[]"), "data-unreadable"),
        (lambda r: r._replace(key=b"elsewhere"), "key-is-not-the-stream"),
        (lambda r: r._replace(headers=[*r.headers, r.headers[1]]), "header-repeated"),
        (lambda r: with_header(r, "ce_id", identifier("evt", 1)), "event-id-repeated"),
        (
            lambda r: with_header(r, "ce_dataschema", "/schemas/events/InfluencerReady/1.json"),
            "schema-of-another-type",
        ),
    ],
)
def test_a_damaged_record_is_named(damage: Damage, rule: str) -> None:
    records = sound_log().records
    assert rules([*records[:-1], damage(records[-1])]) == {rule}


def test_a_correlation_with_another_job_is_named() -> None:
    records = sound_log().records
    records[1] = with_header(records[1], "ce_correlationid", identifier("job", 99))
    assert rules(records) == {"correlation-is-not-the-job"}


def test_a_stream_on_two_partitions_is_named() -> None:
    log = Log()
    make_ready(log, 1, 1)
    moved = [*log.records[:-1], log.records[-1]._replace(partition=3)]
    assert rules(moved) == {"stream-on-two-partitions"}


@pytest.mark.parametrize("place", range(4))
def test_a_lost_event_is_a_gap(place: int) -> None:
    log = Log()
    make_ready(log, 1, 1)
    del log.records[place]
    assert rules(log.records) == {"sequence-gap"}


def test_a_wide_gap_is_named_once_with_its_bounds() -> None:
    log = Log()
    make_ready(log, 1, 1)
    violations = check(LogContents([log.records[0], log.records[4]])).violations
    assert [(v.rule, v.detail) for v in violations] == [
        ("sequence-gap", "2 to 4 missing before it")
    ]


@pytest.mark.parametrize("place", range(5))
def test_a_doubled_event_is_named_wherever_it_stands(place: int) -> None:
    log = Log()
    make_ready(log, 1, 1)
    again = log.records[place]._replace(offset=99)
    assert rules([*log.records[: place + 1], again, *log.records[place + 1 :]]) == {
        "sequence-repeated"
    }
    assert rules([*log.records, again]) == {"sequence-repeated"}


@pytest.mark.parametrize("place", range(4))
def test_a_swapped_pair_is_named(place: int) -> None:
    log = Log()
    make_ready(log, 1, 1)
    swapped = list(log.records)
    swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
    assert rules(swapped) == {"sequence-out-of-order"}


def test_a_job_without_an_end_is_named_unless_it_may_run() -> None:
    log = sound_log()
    start(log, 5, 5)
    assert rules(log.records) == {"job-never-ended"}
    assert rules(log.records, Allowances(running_jobs=True)) == set()


def ended(log: Log) -> str:
    return make_ready(log, 1, 1)


def one_image(log: Log) -> str:
    job_id = start(log, 1, 1)
    render(log, 1, job_id, 0)
    return job_id


def both_images(log: Log) -> str:
    job_id = one_image(log)
    render(log, 1, job_id, 1)
    return job_id


@pytest.mark.parametrize(
    ("before", "event_type", "data", "rule"),
    [
        (ended, "InfluencerReady", {"assetIds": []}, "job-ended-twice"),
        (ended, "JobCanceled", {"requestedBy": "key"}, "job-ended-twice"),
        (ended, "InfluencerTrainingStarted", {"attempt": 2}, "event-after-job-ended"),
        (ended, "InfluencerDrafted", {"jobId": None, "profile": {}}, "creation-is-not-first"),
        (ended, "InfluencerRenderRequested", {"views": ["a"]}, "job-started-twice"),
        (one_image, "InfluencerReady", {"assetIds": []}, "ready-before-all-images"),
        (both_images, "InfluencerReady", {"assetIds": []}, "ready-names-other-images"),
        (
            both_images,
            "InfluencerImageRendered",
            {"index": 1, "total": 2, "image": image(1)},
            "image-index-repeated",
        ),
        (
            one_image,
            "InfluencerImageRendered",
            {"index": 2, "total": 2, "image": image(1)},
            "image-index-out-of-range",
        ),
        (
            one_image,
            "InfluencerImageRendered",
            {"index": 1, "total": 3, "image": image(1)},
            "image-total-wrong",
        ),
        (one_image, "InfluencerDeleted", {"jobId": None}, "deleted-without-cancel"),
        (
            one_image,
            "InfluencerTrainingStarted",
            {"jobId": identifier("job", 99)},
            "job-never-started",
        ),
        (
            one_image,
            "InfluencerRenderRequested",
            {"jobId": identifier("job", 99), "views": ["a"]},
            "jobs-overlap",
        ),
        (one_image, "InfluencerImageRendered", {"index": 1, "total": 2}, "data-incomplete"),
    ],
)
def test_an_impossible_event_is_named(
    before: Callable[[Log], str], event_type: str, data: dict[str, Any], rule: str
) -> None:
    log = Log()
    carried = {"jobId": before(log), **data}
    log.add(1, event_type, **{name: value for name, value in carried.items() if value is not None})
    assert rules(log.records, Allowances(running_jobs=True)) == {rule}


def test_an_event_after_the_deletion_is_named() -> None:
    log = sound_log()
    log.add(2, "InfluencerUpdated", changes={"name": "Ghost"})
    assert rules(log.records) == {"event-after-deletion"}


def test_a_changed_project_is_named() -> None:
    records = sound_log().records
    records[1] = with_header(records[1], "ce_projectid", OTHER_PROJECT)
    assert rules(records) == {"project-changed"}


def test_one_job_on_two_streams_is_named() -> None:
    log = Log()
    make_ready(log, 1, 1)
    make_ready(log, 2, 1)
    assert rules(log.records) == {"job-on-two-streams"}


def test_all_faults_are_named_and_not_only_the_first() -> None:
    log = sound_log()
    start(log, 5, 5)
    log.add(2, "InfluencerUpdated", changes={})
    del log.records[1]
    assert rules(log.records) == {"sequence-gap", "job-never-ended", "event-after-deletion"}


def test_a_violation_says_where() -> None:
    log = sound_log()
    log.add(2, "InfluencerUpdated", changes={})
    (violation,) = check(log.contents()).violations
    assert violation.key.endswith(identifier("inf", 2))
    assert (violation.partition, violation.offset) == (0, len(log.records) - 1)


def test_sound_content_and_uploads_pass() -> None:
    report = check(complete_log().contents())
    assert (report.violations, report.streams, report.jobs) == ([], 3, 2)


ERROR = {"code": "INFLUENCER_DELETED", "message": "It is gone.", "retryable": False}


@pytest.mark.parametrize(
    ("event_type", "data", "rule"),
    [
        ("ContentGenerated", {"image": image(2)}, "job-ended-twice"),
        ("ContentFailed", {"error": ERROR}, "job-ended-twice"),
        ("JobCanceled", {"requestedBy": identifier("key", 1)}, "job-ended-twice"),
        ("ContentRequested", {"brief": "Again"}, "creation-is-not-first"),
        ("InfluencerReady", {"assetIds": []}, "type-of-another-topic"),
        ("ContentGenerated", {"jobId": identifier("job", 99)}, "job-never-started"),
    ],
)
def test_an_impossible_event_of_ended_content_is_named(
    event_type: str, data: dict[str, Any], rule: str
) -> None:
    log = Log()
    generate_content(log, 1, 1)
    end_content(log, 1, identifier("job", 1), event_type, **data)
    assert rules(log.records, Allowances(running_jobs=True)) == {rule}


@pytest.mark.parametrize(
    ("event_type", "data", "rules_named"),
    [
        ("ContentFailed", {"error": ERROR}, set()),
        ("ContentFailed", {"error": {**ERROR, "code": "OH"}}, {"failure-code-unknown"}),
        ("ContentFailed", {}, {"failure-code-unknown"}),
        ("ContentGenerated", {}, {"data-incomplete", "job-never-ended"}),
        (
            "ContentGenerated",
            {"image": image(2), "influencerId": identifier("inf", 2)},
            {"job-of-another-influencer"},
        ),
    ],
)
def test_an_end_of_content_that_says_something_wrong_is_named(
    event_type: str, data: dict[str, Any], rules_named: set[str]
) -> None:
    log = Log()
    end_content(log, 1, request_content(log, 1, 1), event_type, **data)
    assert rules(log.records) == rules_named


def test_an_unknown_code_of_a_failed_influencer_is_named() -> None:
    log = Log()
    job_id = start(log, 1, 1)
    log.add(1, "InfluencerFailed", jobId=job_id, error={"code": "OH", "message": "Oh."})
    assert rules(log.records) == {"failure-code-unknown"}


def test_content_without_an_end_is_named() -> None:
    log = Log()
    request_content(log, 1, 1)
    assert rules(log.records) == {"job-never-ended"}


def test_a_lost_event_of_content_is_a_gap() -> None:
    log = Log()
    generate_content(log, 1, 1)
    assert rules(log.records[1:]) == {"sequence-gap"}


def test_a_second_event_of_an_upload_is_named() -> None:
    log = complete_log()
    subject = identifier("ast", 9)
    log.add_to(MEDIA_TOPIC, subject, "MediaAssetUploaded", assetId=subject)
    assert rules(log.records) == {"creation-is-not-first"}


def test_a_stream_on_a_topic_that_is_not_its_own_is_named() -> None:
    log = Log()
    log.add_to(CONTENT_TOPIC, identifier("inf", 1), "ContentRequested")
    assert "stream-of-another-topic" in rules(log.records)


def test_a_job_id_that_is_none_is_named() -> None:
    records = sound_log().records
    damaged = [with_data(records[0], jobId="job-1"), *records[1:]]
    assert "job-id-malformed" in rules(damaged)
