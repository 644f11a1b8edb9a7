"""Logs and databases as they must be, made by hand, to be damaged by the tests."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from services.ops.checker.facts import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC
from tests.faults.checker import DatabaseContents, LogContents, Record

ORGANIZATION = "0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01"
PROJECT = "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a02"
TIME = "2026-11-23T09:15:02.118Z"
VIEWS = ["portrait", "smiling"]
PROFILE = {"name": "Ava Chen", "hairColor": "brown"}


def identifier(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026d}"


def image(number: int, source: str = "rendered") -> dict[str, Any]:
    return {
        "assetId": identifier("ast", number),
        "url": f"/media/{number:064x}.png",
        "thumbnailUrl": f"/media/{number:064x}.webp",
        "source": source,
        "sha256": f"{number:064x}",
        "addedAt": TIME,
    }


@dataclass
class Log:
    """One partition of each topic; every event goes behind the last one."""

    records: list[Record] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)

    def add(self, influencer: int, event_type: str, **data: Any) -> None:
        self.add_to(INFLUENCER_TOPIC, identifier("inf", influencer), event_type, **data)

    def add_to(self, topic: str, subject: str, event_type: str, **data: Any) -> None:
        sequence = self.sequences[subject] = self.sequences.get(subject, 0) + 1
        number = len(self.records) + 1
        headers = {
            "ce_specversion": "1.0",
            "ce_id": identifier("evt", number),
            "ce_source": "/services/api",
            "ce_type": event_type,
            "ce_subject": subject,
            "ce_time": TIME,
            "ce_dataschema": f"/schemas/events/{event_type}/1.json",
            "ce_sequence": str(sequence),
            "ce_organizationid": ORGANIZATION,
            "ce_projectid": PROJECT,
            "ce_correlationid": data.get("jobId", identifier("req", number)),
            "ce_causationid": identifier("req", number),
            "traceparent": f"00-{number:032x}-{number:016x}-01",
            "content-type": "application/json",
        }
        self.records.append(
            Record(
                partition=0,
                offset=self.ends().get((topic, 0), 0),
                key=f"{ORGANIZATION}/{subject}".encode(),
                headers=[(name, value.encode()) for name, value in headers.items()],
                value=orjson.dumps(data),
                topic=topic,
            )
        )

    def ends(self) -> dict[tuple[str, int], int]:
        return dict(Counter((record.topic, record.partition) for record in self.records))

    def contents(self) -> LogContents:
        return LogContents(self.records, self.ends())


def start(log: Log, influencer: int, job: int) -> str:
    job_id = identifier("job", job)
    log.add(
        influencer,
        "InfluencerCreateRequested",
        jobId=job_id,
        jobKind="influencer_create",
        profile=PROFILE,
        referenceImages=[],
        views=VIEWS,
    )
    log.add(influencer, "InfluencerTrainingStarted", jobId=job_id, backend="test", attempt=1)
    return job_id


def render(log: Log, influencer: int, job_id: str, index: int) -> str:
    number = 100 * influencer + 10 * int(job_id[-4:]) + index
    log.add(
        influencer,
        "InfluencerImageRendered",
        jobId=job_id,
        index=index,
        total=len(VIEWS),
        view=VIEWS[index],
        image=image(number),
    )
    return identifier("ast", number)


def make_ready(log: Log, influencer: int, job: int) -> str:
    job_id = start(log, influencer, job)
    asset_ids = [render(log, influencer, job_id, index) for index in range(len(VIEWS))]
    log.add(influencer, "InfluencerReady", jobId=job_id, assetIds=asset_ids)
    return job_id


def request_content(log: Log, content: int, job: int) -> str:
    job_id = identifier("job", job)
    data = {"influencerId": identifier("inf", 1), "brief": "Summer"}
    log.add_to(CONTENT_TOPIC, identifier("cnt", content), "ContentRequested", jobId=job_id, **data)
    return job_id


def generate_content(log: Log, content: int, job: int) -> None:
    end_content(log, content, request_content(log, content, job), image=image(500 + content))


def end_content(
    log: Log, content: int, job_id: str, event_type: str = "ContentGenerated", **data: Any
) -> None:
    common = {"jobId": job_id, "influencerId": identifier("inf", 1)}
    log.add_to(CONTENT_TOPIC, identifier("cnt", content), event_type, **{**common, **data})


def upload(log: Log, asset: int) -> dict[str, Any]:
    data = {**asset_state(image(asset)), "kind": "logo", "filename": "logo.png"}
    log.add_to(MEDIA_TOPIC, identifier("ast", asset), "MediaAssetUploaded", **data)
    return data


def asset_state(picture: dict[str, Any]) -> dict[str, Any]:
    names = ("assetId", "url", "thumbnailUrl", "sha256")
    return {name: picture[name] for name in names} | {
        "kind": "image",
        "createdAt": picture["addedAt"],
    }


def sound_log() -> Log:
    """1: ready. 2: canceled, deleted. 3: failed, rendered anew, changed. 4: a draft."""
    log = Log()
    make_ready(log, 1, 1)
    canceled = start(log, 2, 2)
    failed = start(log, 3, 3)
    log.add(2, "JobCanceled", jobId=canceled, requestedBy=identifier("key", 1))
    log.add(2, "InfluencerDeleted")
    error = {"code": "RENDER_TIMEOUT", "message": "Too slow.", "retryable": True}
    log.add(3, "InfluencerFailed", jobId=failed, error=error)
    again = identifier("job", 4)
    log.add(3, "InfluencerRenderRequested", jobId=again, jobKind="influencer_render", views=VIEWS)
    assets = [render(log, 3, again, index) for index in (1, 0)]
    log.add(3, "InfluencerReady", jobId=again, assetIds=assets[::-1])
    log.add(3, "InfluencerUpdated", changes={"name": "Ava", "hairColor": None})
    log.add(4, "InfluencerDrafted", profile=PROFILE, referenceImages=[image(9, "uploaded")])
    return log


def influencer_state(**changes: Any) -> dict[str, Any]:
    state: dict[str, Any] = {
        "status": "ready",
        "profile": PROFILE,
        "referenceImages": [image(110), image(111)],
        "jobId": identifier("job", 1),
    }
    return state | changes


def complete_log() -> Log:
    """An influencer, its picture for a brief, and an upload."""
    log = Log()
    make_ready(log, 1, 1)
    generate_content(log, 1, 2)
    upload(log, 9)
    return log


def complete_database(log: Log) -> DatabaseContents:
    """The rows that agree with `complete_log`."""
    database = ready_database(log)
    owner = {"organization_id": ORGANIZATION, "project_id": PROJECT}
    content_id = identifier("cnt", 1)
    job = {"status": "completed", "stage": "done", "images": [[0, image(501)]]}
    uploaded = orjson.loads(log.records[-1].value or b"")
    return replace(
        database,
        streams=[
            *database.streams,
            {
                "organization_id": ORGANIZATION,
                "stream_id": content_id,
                "sequence": 2,
                "state": {"job": job},
            },
            {
                "organization_id": ORGANIZATION,
                "stream_id": identifier("ast", 9),
                "sequence": 1,
                "state": {"asset": uploaded},
            },
        ],
        jobs=[
            *database.jobs,
            {
                **owner,
                "job_id": identifier("job", 2),
                "influencer_id": identifier("inf", 1),
                "stream_id": content_id,
                "kind": "content_generate",
                "status": "completed",
                "sequence": 2,
                "state": job,
            },
        ],
        assets=[
            *database.assets,
            rendered_asset(501),
            {
                **owner,
                "asset_id": identifier("ast", 9),
                "influencer_id": None,
                "state": uploaded,
            },
        ],
    )


def rendered_asset(number: int) -> dict[str, Any]:
    """The row of a picture of influencer 1."""
    return {
        "organization_id": ORGANIZATION,
        "project_id": PROJECT,
        "asset_id": identifier("ast", number),
        "influencer_id": identifier("inf", 1),
        "state": asset_state(image(number)),
    }


def ready_database(log: Log) -> DatabaseContents:
    """The rows that agree with a log of influencer 1, made ready by job 1 alone."""
    owner = {"organization_id": ORGANIZATION, "project_id": PROJECT}
    influencer = {**owner, "influencer_id": identifier("inf", 1), "sequence": 5}
    return DatabaseContents(
        streams=[
            {
                "organization_id": ORGANIZATION,
                "stream_id": identifier("inf", 1),
                "sequence": 5,
                "state": {"influencer": influencer_state()},
            }
        ],
        influencers=[{**influencer, "status": "ready", "state": influencer_state()}],
        jobs=[
            {
                **influencer,
                "job_id": identifier("job", 1),
                "stream_id": identifier("inf", 1),
                "kind": "influencer_create",
                "status": "completed",
                "state": {
                    "status": "completed",
                    "stage": "done",
                    "images": [[0, image(110)], [1, image(111)]],
                },
            }
        ],
        history=[history_row(record) for record in log.records],
        assets=[rendered_asset(number) for number in (110, 111)],
        positions=log.ends(),
    )


def history_row(record: Record) -> dict[str, Any]:
    headers = {name: value.decode() for name, value in record.headers}
    return {
        "organization_id": headers["ce_organizationid"],
        "stream_id": headers["ce_subject"],
        "sequence": int(headers["ce_sequence"]),
        "event_id": headers["ce_id"],
        "type": headers["ce_type"],
        "version": int(headers["ce_dataschema"].rpartition("/")[2].removesuffix(".json")),
        "correlation_id": headers["ce_correlationid"],
        "data": orjson.loads(record.value or b""),
    }
