"""The topics a subscriber reads: what is on them, under which key, and how they are kept."""

from dataclasses import dataclass
from types import MappingProxyType

from schemas.events import (
    CONTENT_TOPIC,
    INFLUENCER_TOPIC,
    MEDIA_TOPIC,
    ContentFailed,
    ContentGenerated,
    ContentRequested,
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

EVENT_PARTITIONS = 12
RETENTION = MappingProxyType(
    {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
)
"""Kafka's settings of these topics: events are kept for ever."""


@dataclass(frozen=True, slots=True)
class Channel:
    """`subject` is the prefix of the ids that its keys end in; `models` are of newest versions."""

    name: str
    topic: str
    subject: Prefix
    models: tuple[type[EventData], ...]


CHANNELS = (
    Channel(
        "influencerEvents",
        INFLUENCER_TOPIC,
        Prefix.INFLUENCER,
        (
            InfluencerDrafted,
            InfluencerCreateRequested,
            InfluencerRenderRequested,
            InfluencerTrainingStarted,
            InfluencerImageRendered,
            InfluencerReady,
            InfluencerFailed,
            JobCanceled,
            InfluencerUpdated,
            ReferenceImagesLinked,
            ReferenceImageUnlinked,
            InfluencerDeleted,
        ),
    ),
    Channel("mediaEvents", MEDIA_TOPIC, Prefix.ASSET, (MediaAssetUploaded,)),
    Channel(
        "contentEvents",
        CONTENT_TOPIC,
        Prefix.CONTENT,
        (ContentRequested, ContentGenerated, ContentFailed, JobCanceled),
    ),
)
