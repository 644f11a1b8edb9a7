"""The answers of writes, made from the state that a write has led to; nothing is read back."""

from collections.abc import Mapping
from typing import Any

from schemas.events import Event
from services.api.answers import NO_STORE, READ_HEADERS, json_body
from services.api.records import (
    MediaUrls,
    accepted_job,
    image_records,
    influencer_record,
    job_location,
)
from services.core.domain.content import ContentStream
from services.core.domain.state import InfluencerStream
from services.core.eventlog.requests import Respond, StoredResponse

RENDER_ESTIMATE = "2"
"""Seconds after which asking for the job again is worth while."""


def job_accepted(state: InfluencerStream | ContentStream, _: tuple[Event, ...]) -> StoredResponse:
    """The 202 of a job that was started just now."""
    assert state.job is not None
    headers = {
        "Location": job_location(state.job.job_id),
        "Retry-After": RENDER_ESTIMATE,
        **NO_STORE,
    }
    return StoredResponse(202, headers, json_body(accepted_job(state.job)))


def record_created(urls: MediaUrls) -> Respond:
    def respond(state: InfluencerStream, _: tuple[Event, ...]) -> StoredResponse:
        assert state.influencer is not None
        location = {"Location": f"/v1/influencers/{state.influencer.influencer_id}"}
        return _record(state, urls, 201, location)

    return respond


def record_changed(urls: MediaUrls) -> Respond:
    def respond(state: InfluencerStream, _: tuple[Event, ...]) -> StoredResponse:
        return _record(state, urls, 200, {})

    return respond


def _record(
    state: InfluencerStream, urls: MediaUrls, status: int, headers: Mapping[str, str]
) -> StoredResponse:
    assert state.influencer is not None
    record = influencer_record(state.influencer, state.sequence, urls)
    etag = {"ETag": f'"{state.sequence}"'}
    return StoredResponse(status, {**READ_HEADERS, **etag, **headers}, json_body(record))


def images_changed(urls: MediaUrls) -> Respond:
    def respond(state: InfluencerStream, _: tuple[Event, ...]) -> StoredResponse:
        assert state.influencer is not None
        images = image_records(state.influencer.reference_images, urls)
        content = {"influencerId": state.influencer.influencer_id, "referenceImages": images}
        return _plain(content)

    return respond


def influencer_deleted(state: InfluencerStream, _: tuple[Event, ...]) -> StoredResponse:
    assert state.influencer is not None
    return _plain(
        {
            "influencerId": state.influencer.influencer_id,
            "status": "deleted",
            "deletedAt": state.influencer.deleted_at,
        }
    )


def _plain(content: dict[str, Any]) -> StoredResponse:
    return StoredResponse(200, NO_STORE, json_body(content))
