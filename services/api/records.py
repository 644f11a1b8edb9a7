"""Records as a client sees them, from the state of the read models."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from schemas.events import MediaAssetUploaded
from schemas.images import ReferenceImage
from services.core.clock import Clock, timestamp
from services.core.controlplane import ApiKey, Project
from services.core.domain.state import Influencer, Job
from services.core.storage.signing import sign_path


@dataclass(frozen=True, slots=True)
class MediaUrls:
    """Makes permanent image URLs usable without a key: signed anew on every read."""

    base_url: str
    signing_key: bytes
    lifetime: int
    clock: Clock

    def signed(self, url: str) -> str:
        """The URL re-based to where the api is now, valid for `lifetime` seconds at least.

        The expiry moves in steps of a lifetime, so that a browser's cache is of use.
        """
        now = int(self.clock().timestamp())
        expires_at = (now // self.lifetime + 2) * self.lifetime
        return self.base_url + sign_path(urlsplit(url).path, self.signing_key, expires_at)


def influencer_record(influencer: Influencer, sequence: int, urls: MediaUrls) -> dict[str, Any]:
    profile = influencer.profile
    personality = profile.personality
    return {
        "influencerId": influencer.influencer_id,
        "projectId": influencer.project_id,
        "name": profile.name,
        "gender": profile.gender,
        "ageRange": profile.age_range,
        "ethnicity": profile.ethnicity,
        "bodyType": profile.body_type,
        "hairColor": profile.hair_color,
        "hairStyle": profile.hair_style,
        "style": profile.style,
        "vibe": profile.vibe,
        "voiceDescription": profile.voice_description,
        "personality": (
            personality.model_dump(mode="json", by_alias=True, exclude_none=True)
            if personality
            else None
        ),
        "referenceImages": image_records(influencer.reference_images, urls),
        "thumbnailUrl": _thumbnail(influencer, urls),
        "status": influencer.status,
        "errorMessage": influencer.error_message,
        "jobId": influencer.job_id,
        "sequence": sequence,
        "createdAt": influencer.created_at,
        "updatedAt": influencer.updated_at,
    }


def influencer_item(influencer: Influencer, urls: MediaUrls) -> dict[str, Any]:
    """The slim item of a list."""
    return {
        "influencerId": influencer.influencer_id,
        "name": influencer.profile.name,
        "gender": influencer.profile.gender,
        "ageRange": influencer.profile.age_range,
        "status": influencer.status,
        "thumbnailUrl": _thumbnail(influencer, urls),
        "createdAt": influencer.created_at,
    }


def image_records(images: tuple[ReferenceImage, ...], urls: MediaUrls) -> list[dict[str, Any]]:
    return [
        {
            "assetId": image.asset_id,
            "url": urls.signed(image.url),
            "thumbnailUrl": urls.signed(image.thumbnail_url),
            "source": image.source,
            "view": image.view,
            "width": image.width,
            "height": image.height,
            "addedAt": image.added_at,
        }
        for image in images
    ]


def asset_record(project_id: str, asset: MediaAssetUploaded, urls: MediaUrls) -> dict[str, Any]:
    return {
        "assetId": asset.asset_id,
        "projectId": project_id,
        "kind": asset.kind,
        "mimeType": asset.mime_type,
        "sizeBytes": asset.size_bytes,
        "sha256": asset.sha256,
        "width": asset.width,
        "height": asset.height,
        "url": urls.signed(asset.url),
        "thumbnailUrl": urls.signed(asset.thumbnail_url) if asset.thumbnail_url else None,
        "createdAt": asset.created_at,
    }


def _thumbnail(influencer: Influencer, urls: MediaUrls) -> str | None:
    images = influencer.reference_images
    shown = next((image for image in images if image.source == "rendered"), None)
    shown = shown or next(iter(images), None)
    return urls.signed(shown.thumbnail_url) if shown else None


def job_record(job: Job, urls: MediaUrls) -> dict[str, Any]:
    return {
        "jobId": job.job_id,
        "kind": job.kind,
        "status": job.status,
        "stage": job.stage,
        "progress": job.progress,
        "projectId": job.project_id,
        "influencerId": job.influencer_id,
        "locationUrl": job_location(job.job_id),
        "sequence": job.sequence,
        "createdAt": job.created_at,
        "startedAt": job.started_at,
        "finishedAt": job.finished_at,
        "result": _result(job, urls),
        "error": job.error.model_dump(mode="json", by_alias=True) if job.error else None,
    }


def _result(job: Job, urls: MediaUrls) -> dict[str, Any] | None:
    if job.status != "completed":
        return None
    images = image_records(job.image_set, urls)
    if job.content_id is not None:
        return {"influencerId": job.influencer_id, "image": images[0]}
    return {"influencerId": job.influencer_id, "referenceImages": images}


def accepted_job(job: Job) -> dict[str, Any]:
    """The envelope of a 202."""
    return {
        "jobId": job.job_id,
        "kind": job.kind,
        "status": "running",
        "influencerId": job.influencer_id,
        "locationUrl": job_location(job.job_id),
    }


def job_location(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"


def key_record(key: ApiKey) -> dict[str, Any]:
    return {
        "organizationId": key.organization_id,
        "organizationName": key.organization_name,
        "scopes": list(key.scopes),
        "rateLimitTier": key.tier,
        "apiKeyId": key.key_id,
    }


def project_record(project: Project) -> dict[str, Any]:
    return {
        "projectId": project.project_id,
        "organizationId": project.organization_id,
        "name": project.name,
        "createdAt": timestamp(project.created_at),
    }
