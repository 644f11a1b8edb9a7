"""Any event that can be on the log, for hypothesis."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from hypothesis import strategies as st
from ulid import ULID

from schemas.events import (
    ContentFailed,
    ContentGenerated,
    ContentRequested,
    Event,
    EventData,
    InfluencerCreateRequested,
    InfluencerDeleted,
    InfluencerDrafted,
    InfluencerFailed,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    InfluencerUpdated,
    JobCanceled,
    MediaAssetUploaded,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
)
from schemas.ids import Prefix
from schemas.images import ReferenceImage
from schemas.jobs import JobError
from schemas.profile import Personality, Profile

T = TypeVar("T")

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
name = text.filter(bool)
maybe_text = st.none() | text
texts = st.lists(text, max_size=3).map(tuple)
size = st.integers(0, 2**40)


def made(model: type[T], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Like `st.builds`, which would make up the fields under their aliases too."""
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


def ids(prefix: Prefix) -> st.SearchStrategy[str]:
    return st.uuids().map(lambda uuid: f"{prefix}_{ULID.from_uuid(uuid)}")


timestamps = st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")
influencer_ids = ids(Prefix.INFLUENCER)
job_ids = ids(Prefix.JOB)
asset_ids = ids(Prefix.ASSET)

personalities = made(
    Personality,
    traits=st.none() | texts,
    tone=maybe_text,
    speaking_style=maybe_text,
    catchphrases=st.none() | texts,
)
profiles = made(
    Profile,
    name=name,
    gender=st.sampled_from([None, "male", "female", "nonbinary", "unspecified"]),
    hair_color=maybe_text,
    voice_description=maybe_text,
    personality=st.none() | personalities,
)
images = made(
    ReferenceImage,
    asset_id=asset_ids,
    url=text,
    thumbnail_url=text,
    source=st.sampled_from(["rendered", "uploaded"]),
    view=maybe_text,
    width=size,
    height=size,
    added_at=timestamps,
    mime_type=text,
    size_bytes=size,
    sha256=text,
)
image_lists = st.lists(images, max_size=2).map(tuple)
views = st.lists(text, min_size=1, max_size=4).map(tuple)
errors = made(JobError, code=text, message=text, retryable=st.booleans())

_personality_changes = st.fixed_dictionaries(
    {},
    optional={
        "tone": maybe_text,
        "speakingStyle": maybe_text,
        "traits": st.none() | st.lists(text, max_size=3),
    },
)
profile_changes: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "name": name,
        "gender": st.sampled_from([None, "male", "female"]),
        "hairColor": maybe_text,
        "personality": st.none() | _personality_changes,
    },
)

_fields: Mapping[type[EventData], Mapping[str, st.SearchStrategy[Any]]] = MappingProxyType(
    {
        InfluencerDrafted: {"profile": profiles, "reference_images": image_lists},
        InfluencerCreateRequested: {
            "job_id": job_ids,
            "job_kind": st.sampled_from(["influencer_create", "influencer_clone"]),
            "profile": profiles,
            "reference_images": image_lists,
            "source_influencer_id": st.none() | influencer_ids,
            "views": views,
        },
        InfluencerRenderRequested: {"job_id": job_ids, "views": views},
        InfluencerTrainingStarted: {
            "job_id": job_ids,
            "backend": text,
            "attempt": st.integers(1, 99),
        },
        InfluencerImageRendered: {
            "job_id": job_ids,
            "index": st.integers(0, 99),
            "total": st.integers(1, 99),
            "view": text,
            "image": images,
        },
        InfluencerReady: {
            "job_id": job_ids,
            "asset_ids": st.lists(asset_ids, max_size=3).map(tuple),
        },
        InfluencerFailed: {"job_id": job_ids, "error": errors},
        JobCanceled: {"job_id": job_ids, "requested_by": ids(Prefix.KEY)},
        InfluencerUpdated: {"changes": profile_changes},
        ReferenceImagesLinked: {"images": st.lists(images, min_size=1, max_size=2).map(tuple)},
        ReferenceImageUnlinked: {"asset_id": asset_ids},
        InfluencerDeleted: {"reason": maybe_text},
        MediaAssetUploaded: {
            "asset_id": asset_ids,
            "kind": st.sampled_from(["image", "reference_image", "logo", "video", "audio"]),
            "mime_type": text,
            "size_bytes": size,
            "sha256": text,
            "width": st.none() | size,
            "height": st.none() | size,
            "filename": maybe_text,
            "url": text,
            "thumbnail_url": maybe_text,
            "created_at": timestamps,
        },
        ContentRequested: {
            "job_id": job_ids,
            "influencer_id": influencer_ids,
            "brief": text,
        },
        ContentGenerated: {
            "job_id": job_ids,
            "influencer_id": influencer_ids,
            "image": images,
        },
        ContentFailed: {
            "job_id": job_ids,
            "influencer_id": influencer_ids,
            "error": errors,
        },
    }
)
event_data: Mapping[type[EventData], st.SearchStrategy[EventData]] = MappingProxyType(
    {model: made(model, **fields) for model, fields in _fields.items()}
)

events = made(
    Event,
    id=ids(Prefix.EVENT),
    source=st.sampled_from(["/services/api", "/services/renderer"]),
    subject=influencer_ids,
    time=timestamps,
    sequence=st.integers(1, 2**63 - 1),
    organization_id=st.uuids().map(str),
    project_id=st.uuids().map(str),
    correlation_id=job_ids,
    causation_id=ids(Prefix.REQUEST),
    traceparent=st.sampled_from(["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    data=st.one_of(*event_data.values()),
)
