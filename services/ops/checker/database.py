"""Rule group 5: outbox, streams, read models and positions against the fold of the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from services.ops.checker.facts import (
    CONTENT_TOPIC,
    INFLUENCER_TOPIC,
    Allowances,
    DatabaseContents,
    LogContents,
    LoggedEvent,
    StreamKey,
    Violation,
)
from services.ops.checker.fold import FoldedJob, FoldedStream
from services.ops.checker.streams import Streams

Row = Mapping[str, Any]

PROFILE_FIELDS = (
    "name",
    "gender",
    "ageRange",
    "ethnicity",
    "bodyType",
    "hairColor",
    "hairStyle",
    "style",
    "vibe",
    "voiceDescription",
)

ASSET_FIELDS = (
    "assetId",
    "kind",
    "mimeType",
    "sizeBytes",
    "sha256",
    "width",
    "height",
    "url",
    "thumbnailUrl",
    "createdAt",
)


def check_database(
    database: DatabaseContents,
    log: LogContents,
    streams: Streams,
    events: Sequence[LoggedEvent],
    allowed: Allowances,
) -> list[Violation]:
    """Rows of a stream that still has events in the outbox, or a hole, are not compared."""
    waiting = {row["key"] for row in database.outbox}
    judged = {
        key: stream
        for key, stream in streams.items()
        if not stream.damaged and stream.key not in waiting
    }
    unjudged = {s.key for s in streams.values() if s.damaged} | waiting
    violations = [] if allowed.waiting_outbox else _outbox(database.outbox)
    violations += _quarantine(database.quarantine) + _positions(database, log, allowed)
    violations += _streams(database.streams, judged, unjudged)
    violations += _influencers(database.influencers, judged, unjudged)
    violations += _jobs(database.jobs, judged, unjudged)
    if not allowed.lagging_projector:
        violations += _assets(database.assets, events, judged, unjudged)
        violations += _history(database.history, events, judged, unjudged)
    return violations


def _outbox(rows: Iterable[Row]) -> list[Violation]:
    return [
        Violation("outbox-not-empty", row["key"], f"row {row['outbox_id']}, {row['event_id']}")
        for row in rows
    ]


def _quarantine(rows: Iterable[Row]) -> list[Violation]:
    return [
        Violation(
            "quarantined", row["stream_key"], row["reason"], row["partition"], row["record_offset"]
        )
        for row in rows
    ]


def _positions(
    database: DatabaseContents, log: LogContents, allowed: Allowances
) -> list[Violation]:
    violations = []
    last = {(record.topic, record.partition): record.offset for record in log.records}
    for place, position in sorted(database.positions.items()):
        end = log.ends.get(place, 0)
        if position > end:
            detail = f"position {position}, the log ends at {end}"
            violations.append(
                Violation("position-beyond-end", "", detail, place[1], position, place[0])
            )
    if allowed.lagging_projector:
        return violations
    for place, offset in sorted(last.items()):
        position = database.positions.get(place, 0)
        if position <= offset:
            detail = f"position {position}, the last record is at {offset}"
            violations.append(
                Violation("position-behind", "", detail, place[1], position, place[0])
            )
    return violations


def _streams(rows: Iterable[Row], judged: Streams, unjudged: set[str]) -> list[Violation]:
    found = {_key(row, "stream_id"): row for row in rows}
    violations = _presence("stream", found, judged, unjudged)
    for key, stream in judged.items():
        row = found.get(key)
        if row is not None:
            wanted = {"sequence": stream.sequence, **_stream_wanted(stream)}
            has = {"sequence": row["sequence"], **_stream_has(stream, row["state"])}
            violations += _differences("stream-differs", stream.key, wanted, has)
    return violations


def _stream_wanted(stream: FoldedStream) -> dict[str, Any]:
    if stream.topic == INFLUENCER_TOPIC:
        return _influencer_wanted(stream)
    if stream.topic == CONTENT_TOPIC:
        return _job_outcome_wanted(stream.job)
    return {"asset": _present(stream.asset or {})}


def _stream_has(stream: FoldedStream, state: Row) -> dict[str, Any]:
    if stream.topic == INFLUENCER_TOPIC:
        return _influencer_has(state.get("influencer") or {})
    if stream.topic == CONTENT_TOPIC:
        return _job_outcome_has(state.get("job") or {})
    return {"asset": _present(state.get("asset") or {})}


def _present(data: Row) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}


def _influencers(rows: Iterable[Row], streams: Streams, unjudged: set[str]) -> list[Violation]:
    found = {_key(row, "influencer_id"): row for row in rows}
    judged = {key: one for key, one in streams.items() if one.topic == INFLUENCER_TOPIC}
    violations = _presence("influencer", found, judged, unjudged)
    for key, stream in judged.items():
        row = found.get(key)
        if row is not None:
            wanted = {
                "column sequence": stream.sequence,
                "column status": stream.status,
                "column project": stream.project_id,
                **_influencer_wanted(stream),
            }
            has = {
                "column sequence": row["sequence"],
                "column status": row["status"],
                "column project": row["project_id"],
                **_influencer_has(row["state"]),
            }
            violations += _differences("influencer-differs", stream.key, wanted, has)
    return violations


def _jobs(rows: Iterable[Row], judged: Streams, unjudged: set[str]) -> list[Violation]:
    found = {row["job_id"]: row for row in rows}
    wanted = {job.job_id: (s, job) for s in judged.values() for job in s.jobs.values()}
    violations = []
    for job_id, (stream, job) in wanted.items():
        row = found.get(job_id)
        if row is None:
            violations.append(Violation("job-row-missing", stream.key, job_id))
        else:
            violations += _differences(
                "job-row-differs", stream.key, _job_wanted(stream, job), _job_has(row), job_id
            )
    for job_id, row in found.items():
        key = "/".join(_key(row, "stream_id"))
        if job_id not in wanted and key not in unjudged:
            violations.append(Violation("job-row-unexpected", key, job_id))
    return violations


def _assets(
    rows: Iterable[Row], events: Sequence[LoggedEvent], judged: Streams, unjudged: set[str]
) -> list[Violation]:
    """Every picture made, and everything uploaded, is an asset; there are no others."""
    found = {_key(row, "asset_id"): row for row in rows}
    wanted: dict[StreamKey, tuple[LoggedEvent, dict[str, Any]]] = {}
    for event in events:
        asset = _asset_wanted(event) if event.stream in judged else None
        if asset is not None:
            wanted.setdefault((event.organization_id, str(asset["assetId"])), (event, asset))
    violations = []
    for key, (event, asset) in wanted.items():
        row = found.get(key)
        if row is None:
            violations.append(event.violates("asset-row-missing", key[1]))
        else:
            has = {
                "project": row["project_id"],
                "influencer": row["influencer_id"],
                **{name: row["state"].get(name) for name in ASSET_FIELDS},
            }
            violations += _differences("asset-row-differs", event.key, asset, has, key[1])
    if not unjudged:
        violations += [
            Violation("asset-row-unexpected", "/".join(key), "it is not on the log")
            for key in found.keys() - wanted.keys()
        ]
    return violations


def _asset_wanted(event: LoggedEvent) -> dict[str, Any] | None:
    """What the row of the asset says that came to be with `event`, if one did."""
    influencer_id = None
    if event.type == "MediaAssetUploaded":
        data = event.data
    elif event.type in ("InfluencerImageRendered", "ContentGenerated"):
        image = event.data.get("image") or {}
        data = {**image, "kind": "image", "createdAt": image.get("addedAt")}
        influencer_id = event.data.get("influencerId", event.subject)
    else:
        return None
    said = {name: data.get(name) for name in ASSET_FIELDS}
    return {"project": event.project_id, "influencer": influencer_id, **said}


def _history(
    rows: Iterable[Row], events: Sequence[LoggedEvent], judged: Streams, unjudged: set[str]
) -> list[Violation]:
    found = {(*_key(row, "stream_id"), row["sequence"]): row for row in rows}
    wanted = {(*event.stream, event.sequence): event for event in events if event.stream in judged}
    violations = []
    for place, event in wanted.items():
        row = found.get(place)
        if row is None:
            detail = f"sequence {event.sequence}"
            violations.append(event.violates("history-row-missing", detail))
        elif _told(row) != _envelope(event) or not _says(row, event):
            detail = f"sequence {event.sequence}: {row['type']} {row['event_id']}"
            violations.append(event.violates("history-row-differs", detail))
    for place in found.keys() - wanted.keys():
        key = f"{place[0]}/{place[1]}"
        if key not in unjudged:
            detail = f"sequence {place[2]}"
            violations.append(Violation("history-row-unexpected", key, detail))
    return violations


def _told(row: Row) -> tuple[object, ...]:
    return (row["event_id"], row["type"], row["version"], row["correlation_id"])


def _envelope(event: LoggedEvent) -> tuple[object, ...]:
    return (event.id, event.type, event.version, event.correlation_id)


def _says(row: Row, event: LoggedEvent) -> bool:
    """Whether the row has the event's data; only if spelled differently both are read."""
    data = row["data"]
    if isinstance(data, str):
        return data.encode() == event.value or orjson.loads(data) == event.data
    return bool(data == event.data)


def _presence(
    what: str, found: Mapping[StreamKey, Row], judged: Streams, unjudged: set[str]
) -> list[Violation]:
    missing = [
        Violation(f"{what}-row-missing", "/".join(key), "it is on the log")
        for key in judged.keys() - found.keys()
    ]
    unexpected = [
        Violation(f"{what}-row-unexpected", "/".join(key), "it is not on the log")
        for key in found.keys() - judged.keys()
        if "/".join(key) not in unjudged
    ]
    return missing + unexpected


def _influencer_wanted(stream: FoldedStream) -> dict[str, Any]:
    wanted = {
        "status": stream.status,
        "images": stream.asset_ids,
        "job": stream.current_job,
        "errorMessage": stream.error_message or None,
    }
    # The contract leaves a canceled one's words open; that it says something is checked.
    if stream.error_message == "":
        wanted["errorMessage"] = "canceled"
    return wanted | {name: stream.profile.get(name) for name in PROFILE_FIELDS}


def _influencer_has(state: Row) -> dict[str, Any]:
    message = state.get("errorMessage")
    never_ready = state.get("status") in ("failed", "deleted")
    canceled = never_ready and "canceled" in (message or "").lower()
    has = {
        "status": state.get("status"),
        "images": [image.get("assetId") for image in state.get("referenceImages") or ()],
        "job": state.get("jobId"),
        "errorMessage": "canceled" if canceled else message,
    }
    profile = state.get("profile") or {}
    return has | {name: profile.get(name) for name in PROFILE_FIELDS}


def _job_wanted(stream: FoldedStream, job: FoldedJob) -> dict[str, Any]:
    return {
        "stream": stream.key,
        "influencer": job.influencer_id,
        "project": stream.project_id,
        "kind": job.kind,
        "column status": job.status,
        "column sequence": job.sequence,
        **_job_outcome_wanted(job),
    }


def _job_has(row: Row) -> dict[str, Any]:
    return {
        "stream": "/".join(_key(row, "stream_id")),
        "influencer": row["influencer_id"],
        "project": row["project_id"],
        "kind": row["kind"],
        "column status": row["status"],
        "column sequence": row["sequence"],
        **_job_outcome_has(row["state"]),
    }


def _job_outcome_wanted(job: FoldedJob | None) -> dict[str, Any]:
    return {
        "status": job and job.status,
        "stage": job and job.stage,
        "images": {i: image.get("assetId") for i, image in job.images.items()} if job else {},
        "error": job and job.error,
    }


def _job_outcome_has(state: Row) -> dict[str, Any]:
    return {
        "status": state.get("status"),
        "stage": state.get("stage"),
        "images": {index: image.get("assetId") for index, image in state.get("images") or ()},
        "error": state.get("error"),
    }


def _differences(rule: str, key: str, wanted: Row, has: Row, subject: str = "") -> list[Violation]:
    named = f"{subject} " if subject else ""
    return [
        Violation(rule, key, f"{named}{name}: has {has[name]!r}, the log says {value!r}")
        for name, value in wanted.items()
        if has[name] != value
    ]


def _key(row: Row, column: str) -> StreamKey:
    return (row["organization_id"], row[column])
