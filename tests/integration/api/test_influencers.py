"""Create, get and list: what a client sees of an influencer."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from ulid import ULID

from services.core.domain.commands import DeleteInfluencer, StartTraining
from tests.integration.api.calling import Caller
from tests.integration.api.conftest import NewCaller
from tests.integration.api.serving import Service

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RECORD = {
    "name": "Ava Chen",
    "gender": "female",
    "ageRange": "25-34",
    "ethnicity": None,
    "bodyType": None,
    "hairColor": "black",
    "hairStyle": None,
    "style": "minimalist streetwear",
    "vibe": "warm and curious",
    "voiceDescription": None,
    "personality": {"traits": ["curious", "warm", "direct"], "tone": "conversational"},
}
ASSET = {
    "kind": "image",
    "mimeType": "image/png",
    "sizeBytes": 9,
    "sha256": "0" * 64,
    "width": 64,
    "height": 32,
    "url": "/media/a/b/c.png",
    "thumbnailUrl": "/media/a/b/d.webp",
    "createdAt": "2026-01-01T00:00:00.000Z",
}
GIVEN = {field: value for field, value in RECORD.items() if value is not None}


def ulid_of(identifier: str) -> ULID:
    return ULID.from_str(identifier.partition("_")[2])


async def test_a_202_has_exactly_the_contracts_keys_and_headers(caller: Caller) -> None:
    answer = await caller.post(caller.influencers, GIVEN)
    assert answer.status == 202
    created = answer.json
    assert created == {
        "jobId": created["jobId"],
        "kind": "influencer_create",
        "status": "running",
        "influencerId": created["influencerId"],
        "locationUrl": f"/v1/jobs/{created['jobId']}",
    }
    assert re.fullmatch("job_[0-9A-HJKMNP-TV-Z]{26}", created["jobId"])
    assert re.fullmatch("inf_[0-9A-HJKMNP-TV-Z]{26}", created["influencerId"])
    for generated in (created["jobId"], created["influencerId"]):
        age = datetime.now(UTC) - ulid_of(generated).datetime
        assert abs(age.total_seconds()) < 10
    assert answer.headers["Location"] == created["locationUrl"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Idempotent-Replayed" not in answer.headers


async def test_a_get_right_after_the_202_finds_the_row_pending_on_any_replica(
    caller: Caller, replica: Service
) -> None:
    created = await caller.create(**GIVEN)
    for at in (caller.at(replica), caller):
        answer = await at.get(f"/v1/influencers/{created['influencerId']}")
        assert answer.status == 200
        record = answer.json
        assert record == {
            **RECORD,
            "influencerId": created["influencerId"],
            "projectId": caller.project_id,
            "referenceImages": [],
            "thumbnailUrl": None,
            "status": "pending",
            "errorMessage": None,
            "jobId": created["jobId"],
            "sequence": 1,
            "createdAt": record["createdAt"],
            "updatedAt": record["createdAt"],
        }
        assert TIMESTAMP.fullmatch(record["createdAt"])
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["Vary"] == "X-Api-Key, Authorization"
        job = await at.get(f"/v1/jobs/{created['jobId']}")
        assert job.json["status"] == "running"


async def test_a_record_keeps_its_etag_until_it_changes(caller: Caller, service: Service) -> None:
    created = await caller.create()
    path = f"/v1/influencers/{created['influencerId']}"
    etag = (await caller.get(path)).headers["ETag"]
    assert re.fullmatch(r'"[^"]+"', etag)
    for current in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = await caller.get(path, If_None_Match=current)
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert unchanged.headers["ETag"] == etag
        assert unchanged.headers["Cache-Control"] == "private, no-cache"
        assert unchanged.headers["Vary"] == "X-Api-Key, Authorization"
    assert (await caller.get(path, If_None_Match='"other"')).status == 200

    stream = (caller.organization_id, created["influencerId"])
    await service.append(StartTraining(*stream, created["jobId"], backend="drawing"))
    changed = await caller.get(path, If_None_Match=etag)
    assert changed.status == 200
    assert (changed.json["status"], changed.json["sequence"]) == ("training", 2)
    assert changed.headers["ETag"] != etag


async def test_an_etag_is_the_same_for_every_key(caller: Caller, new: NewCaller) -> None:
    created = await caller.create()
    path = f"/v1/influencers/{created['influencerId']}"
    colleague = await new(
        "influencers:read",
        organization_id=caller.organization_id,
        project_id=caller.project_id,
    )
    assert (await caller.get(path)).headers["ETag"] == (await colleague.get(path)).headers["ETag"]


async def test_head_answers_as_get_without_a_body(caller: Caller) -> None:
    created = await caller.create()
    path = f"/v1/influencers/{created['influencerId']}"
    got, head = await caller.get(path), await caller.send("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for header in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert head.headers[header] == got.headers[header]
    assert (await caller.send("HEAD", "/v1/jobs/nonsense")).status == 404


async def test_a_client_may_bring_its_own_uuid_and_find_it_in_every_spelling(
    caller: Caller,
) -> None:
    own = uuid4()
    created = await caller.create(influencerId=str(own))
    bare = str(ULID.from_uuid(own))
    assert created["influencerId"] == f"inf_{bare}"
    spellings = [created["influencerId"], bare, str(own)]
    spellings += [spelling.lower() for spelling in spellings]
    spellings += [spelling.upper() for spelling in spellings]
    for spelling in spellings:
        answer = await caller.get(f"/v1/influencers/{spelling}")
        assert answer.status == 200, spelling
        assert answer.json["influencerId"] == f"inf_{bare}"


@pytest.mark.parametrize(
    "own", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
)
async def test_the_smallest_and_the_largest_id_are_ids(caller: Caller, own: str) -> None:
    created = await caller.create(influencerId=own)
    assert (await caller.get(f"/v1/influencers/{own}")).status == 200
    assert (await caller.get(f"/v1/influencers/{created['influencerId']}")).status == 200


async def test_every_spelling_is_the_same_id_in_a_body(caller: Caller) -> None:
    own = uuid4()
    bare = str(ULID.from_uuid(own))
    await caller.create(influencerId=str(own))
    for spelling in (bare, bare.lower(), f"INF_{bare}", f"inf_{bare.lower()}", str(own).upper()):
        answer = await caller.post(caller.influencers, {"name": "Ava", "influencerId": spelling})
        assert answer.code == "CONFLICT", spelling


async def test_a_jobs_id_has_three_spellings_too(caller: Caller) -> None:
    job_id = (await caller.create())["jobId"]
    bare = job_id.removeprefix("job_")
    for spelling in (job_id.lower(), bare, bare.lower(), str(ulid_of(job_id).to_uuid()).upper()):
        assert (await caller.get(f"/v1/jobs/{spelling}")).json["jobId"] == job_id


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "inf_",
        "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7",
        "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7TT",
        "inf_81HXZ9G7KMV2QX8Y1S5RJW3B7T",
        "inf_U1HXZ9G7KMV2QX8Y1S5RJW3B7T",
        "job_01HXZ9G7KMV2QX8Y1S5RJW3B7T",
        "01HXZ9G7KMV2QX8Y1S5RJW3B7T ",
        "018f3c9a00007000800000000000000a",
        "{018f3c9a-0000-7000-8000-000000000001}",
        "urn:uuid:018f3c9a-0000-7000-8000-000000000001",
        "inf_018f3c9a-0000-7000-8000-000000000001",
        "١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦",
        "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7\x00",
    ],
)
async def test_what_is_no_id_is_validation_in_a_body(caller: Caller, wrong: str) -> None:
    answer = await caller.post(caller.influencers, {"name": "Ava", "influencerId": wrong})
    assert list(answer.field_errors) == ["influencerId"]


async def test_an_id_is_taken_once_in_its_organization_in_whichever_project(
    caller: Caller, new: NewCaller
) -> None:
    own = str(uuid4())
    await caller.create(influencerId=own)
    sister = await new(organization_id=caller.organization_id)
    assert sister.project_id != caller.project_id
    for at in (caller, sister):
        answer = await at.post(at.influencers, {"name": "Bea", "influencerId": own})
        assert (answer.status, answer.code) == (409, "CONFLICT")
        message = answer.json["error"]["message"]
        assert message == "Influencer with this id already exists."
    assert (await caller.get(f"/v1/influencers/{own}")).json["name"] == "Ava Chen"


async def test_the_same_uuid_in_another_organization_is_another_influencer(
    caller: Caller, new: NewCaller
) -> None:
    own, other = str(uuid4()), await new()
    await caller.create(influencerId=own, name="Ava")
    await other.create(influencerId=own, name="Bea")
    assert (await caller.get(f"/v1/influencers/{own}")).json["name"] == "Ava"
    assert (await other.get(f"/v1/influencers/{own}")).json["name"] == "Bea"


async def test_a_deleted_influencer_is_gone_and_its_id_never_used_again(
    caller: Caller, service: Service
) -> None:
    own = str(uuid4())
    created = await caller.create(influencerId=own)
    stream = (caller.organization_id, created["influencerId"])
    await service.append(DeleteInfluencer(*stream, requested_by=caller.key_id))
    assert (await caller.get(f"/v1/influencers/{own}")).code == "NOT_FOUND"
    assert (await caller.get(caller.influencers)).json["items"] == []
    answer = await caller.post(caller.influencers, {"name": "Ava", "influencerId": own})
    assert answer.code == "CONFLICT"
    assert answer.json["error"]["message"] == "Influencer with this id already exists."
    assert (await caller.get(f"/v1/jobs/{created['jobId']}")).json["status"] == "canceled"


async def test_an_influencer_may_begin_with_media_of_its_project(
    caller: Caller, new: NewCaller, service: Service
) -> None:
    asset_id = "ast_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
    await service.pool.execute(
        "insert into read_model.media_assets values ($1, $2, $3, null, now(), $4)",
        caller.organization_id,
        asset_id,
        caller.project_id,
        orjson.dumps({**ASSET, "assetId": asset_id}).decode(),
    )
    spellings = [asset_id, asset_id.lower(), asset_id.removeprefix("ast_")]
    created = await caller.create(referenceImages={"assetIds": spellings})
    record = (await caller.get(f"/v1/influencers/{created['influencerId']}")).json
    [image] = record["referenceImages"]
    assert image == {
        "assetId": asset_id,
        "url": image["url"],
        "thumbnailUrl": image["thumbnailUrl"],
        "source": "uploaded",
        "view": None,
        "width": 64,
        "height": 32,
        "addedAt": image["addedAt"],
    }
    assert TIMESTAMP.fullmatch(image["addedAt"])
    assert record["thumbnailUrl"] == image["thumbnailUrl"]

    unknown = "ast_01HXZ9G7KMV2QX8Y1S5RJW3B7V"
    for at, asset_ids in (
        (caller, [asset_id, unknown]),
        (await new(organization_id=caller.organization_id), [unknown, asset_id]),
        (await new(), [unknown, asset_id]),
    ):
        body = {"name": "Ava", "referenceImages": {"assetIds": asset_ids}}
        answer = await at.post(at.influencers, body)
        wrong = {f"referenceImages.assetIds.{place}" for place in (0, 1)}
        assert set(answer.field_errors) <= wrong
        assert len(answer.field_errors) == (1 if at is caller else 2)


async def test_one_event_and_one_job_for_each_create(caller: Caller, service: Service) -> None:
    created = await caller.create()
    await caller.create()
    key = f"{caller.organization_id}/{created['influencerId']}"
    pool = service.pool
    assert await pool.fetchval("select count(*) from event_log.outbox where key = $1", key) == 1
    jobs = "select count(*) from read_model.jobs where organization_id = $1"
    assert await pool.fetchval(jobs, caller.organization_id) == 2
