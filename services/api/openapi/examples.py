"""One story that all examples tell: Ava Chen is drafted, rendered, and changed."""

from typing import Any

PROJECT = "018f3a5e-7c1b-7d7e-8a6f-2b1c9d0e4f55"
ORGANIZATION = "018f3a5e-0000-7d7e-8a6f-2b1c9d0e4f55"
INFLUENCER = "inf_01HXZ9G7KMV2QX8Y1S5RJW3B7T"
CLONE = "inf_01HXZ9J4T6W8C0E2G4J6M8P0R2"
JOB = "job_01HXZ9G7KMV2QX8Y1S5RJW3B7V"
ASSET = "ast_01HXZ9H2P3Q4R5S6T7V8W9X0Y1"
UPLOAD = "upl_01HXZ9H2P3Q4R5S6T7V8W9X0Y2"
EVENT = "evt_01HXZ9G7KMV2QX8Y1S5RJW3B7W"
REQUEST = "req_01HXZ9G7KMV2QX8Y1S5RJW3B7X"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
CREATED_AT = "2026-11-24T09:30:00.000Z"
STARTED_AT = "2026-11-24T09:30:00.120Z"
FINISHED_AT = "2026-11-24T09:30:01.480Z"
CURSOR = "k0Vq3J1v8mQy2bT5wZ7xYQ"
FEED_CURSOR = "pT3nE9sJ0cWm5rVb2yKq8gwBAAKx4QEDkV0oHn6dZw"

_MEDIA = f"https://api.example.com/media/{ORGANIZATION}/{PROJECT}"
SIGNATURE = "9hxVpTs1yU2Kp0bq7mZ0Vg"
_SIGNED = f"?expires=1795516200&signature={SIGNATURE}"
URL = f"{_MEDIA}/{SHA256}.png{_SIGNED}"
THUMBNAIL_URL = f"{_MEDIA}/{SHA256[::-1]}.webp{_SIGNED}"

BRIEF = "Weekend sale: half price on all my favourite hoodies!"
PERSONALITY = {
    "traits": ["curious", "warm", "direct"],
    "tone": "conversational",
    "humor": "dry",
}
DESCRIPTION: dict[str, Any] = {
    "name": "Ava Chen",
    "gender": "female",
    "ageRange": "25-34",
    "style": "minimalist streetwear",
    "vibe": "warm and curious",
    "personality": PERSONALITY,
}
IMAGE = {
    "assetId": ASSET,
    "url": URL,
    "thumbnailUrl": THUMBNAIL_URL,
    "source": "rendered",
    "view": "portrait",
    "width": 1024,
    "height": 1024,
    "addedAt": FINISHED_AT,
}
UPLOADED_IMAGE = {**IMAGE, "source": "uploaded", "view": None}
DRAFT_RECORD: dict[str, Any] = {
    "influencerId": INFLUENCER,
    "projectId": PROJECT,
    **DESCRIPTION,
    "ethnicity": None,
    "bodyType": None,
    "hairColor": None,
    "hairStyle": None,
    "voiceDescription": None,
    "referenceImages": [],
    "thumbnailUrl": None,
    "status": "draft",
    "errorMessage": None,
    "jobId": None,
    "sequence": 1,
    "createdAt": CREATED_AT,
    "updatedAt": CREATED_AT,
}
RECORD: dict[str, Any] = {
    **DRAFT_RECORD,
    "referenceImages": [IMAGE],
    "thumbnailUrl": THUMBNAIL_URL,
    "status": "ready",
    "jobId": JOB,
    "sequence": 7,
    "updatedAt": FINISHED_AT,
}
CHANGED_RECORD = {**RECORD, "hairColor": "copper", "vibe": None, "sequence": 8}
ITEM = {
    "influencerId": INFLUENCER,
    "name": "Ava Chen",
    "gender": "female",
    "ageRange": "25-34",
    "status": "ready",
    "thumbnailUrl": THUMBNAIL_URL,
    "createdAt": CREATED_AT,
}
DELETED = {"influencerId": INFLUENCER, "status": "deleted", "deletedAt": FINISHED_AT}
REFERENCE_IMAGES = {"influencerId": INFLUENCER, "referenceImages": [IMAGE, UPLOADED_IMAGE]}
HISTORY_EVENT = {
    "eventId": EVENT,
    "type": "InfluencerTrainingStarted",
    "time": STARTED_AT,
    "data": {"jobId": JOB, "backend": "drawing", "attempt": 1},
}
CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": EVENT,
    "source": "/services/renderer",
    "type": "InfluencerTrainingStarted",
    "subject": INFLUENCER,
    "time": STARTED_AT,
    "datacontenttype": "application/json",
    "dataschema": "/schemas/events/InfluencerTrainingStarted/1.json",
    "sequence": "2",
    "organizationid": ORGANIZATION,
    "projectid": PROJECT,
    "correlationid": JOB,
    "causationid": EVENT,
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "data": {"jobId": JOB, "backend": "drawing", "attempt": 1},
}
EVENT_FEED = {"items": [CLOUD_EVENT], "nextCursor": FEED_CURSOR, "hasMore": False}


def accepted(kind: str, influencer_id: str = INFLUENCER) -> dict[str, Any]:
    return {
        "jobId": JOB,
        "kind": kind,
        "status": "running",
        "influencerId": influencer_id,
        "locationUrl": f"/v1/jobs/{JOB}",
    }


RUNNING_JOB: dict[str, Any] = {
    **accepted("influencer_create"),
    "stage": "rendering",
    "progress": 0.5,
    "projectId": PROJECT,
    "sequence": 4,
    "createdAt": CREATED_AT,
    "startedAt": STARTED_AT,
    "finishedAt": None,
    "result": None,
    "error": None,
}
COMPLETED_JOB = {
    **RUNNING_JOB,
    "status": "completed",
    "stage": "done",
    "progress": 1.0,
    "sequence": 7,
    "finishedAt": FINISHED_AT,
    "result": {"influencerId": INFLUENCER, "referenceImages": [IMAGE]},
}
COMPLETED_CONTENT_JOB = {
    **COMPLETED_JOB,
    "kind": "content_generate",
    "sequence": 2,
    "result": {"influencerId": INFLUENCER, "image": {**IMAGE, "view": "content"}},
}
FAILED_JOB = {
    **RUNNING_JOB,
    "status": "failed",
    "stage": "done",
    "sequence": 5,
    "finishedAt": FINISHED_AT,
    "error": {
        "code": "RENDER_REJECTED",
        "message": "The backend refuses the prompt.",
        "retryable": False,
    },
}
ASSET_RECORD = {
    "assetId": ASSET,
    "projectId": PROJECT,
    "kind": "reference_image",
    "mimeType": "image/png",
    "sizeBytes": 48213,
    "sha256": SHA256,
    "width": 1024,
    "height": 1024,
    "url": URL,
    "thumbnailUrl": THUMBNAIL_URL,
    "createdAt": CREATED_AT,
}
PRESIGNED = {
    "uploadId": UPLOAD,
    "url": f"https://api.example.com/media/uploads/{ORGANIZATION}/{PROJECT}/{UPLOAD}{_SIGNED}",
    "method": "PUT",
    "headers": {"Content-Type": "image/png"},
    "expiresAt": "2026-11-24T10:30:00.000Z",
}
KEY = {
    "organizationId": ORGANIZATION,
    "organizationName": "Acme",
    "scopes": ["influencers:write", "jobs:read"],
    "rateLimitTier": "standard",
    "apiKeyId": "key_01HXZ9G7KMV2QX8Y1S5RJW3B7Y",
}
PROJECT_RECORD = {
    "projectId": PROJECT,
    "organizationId": ORGANIZATION,
    "name": "Spring campaign",
    "createdAt": CREATED_AT,
}


def pages(item: Any) -> dict[str, Any]:
    """A page with a next one, and the last one."""
    return {
        "a page": {"items": [item], "nextCursor": CURSOR},
        "the last page": {"items": [], "nextCursor": None},
    }
