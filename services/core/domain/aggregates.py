"""Which stream belongs to which aggregate: told by the prefix of its id."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from schemas.events import CONTENT_TOPIC, INFLUENCER_TOPIC, MEDIA_TOPIC, Event, EventData
from schemas.ids import Prefix
from services.core.domain.commands import Command
from services.core.domain.content import (
    ContentCommand,
    ContentStream,
    decide_content,
    evolve_content,
)
from services.core.domain.decide import decide
from services.core.domain.evolve import evolve
from services.core.domain.media import (
    MediaAssetStream,
    UploadMediaAsset,
    decide_media,
    evolve_media,
)
from services.core.domain.state import INITIAL_STATE, InfluencerStream

StreamState = InfluencerStream | MediaAssetStream | ContentStream
AnyCommand = Command | UploadMediaAsset | ContentCommand


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`topic` is where its events go; `state_type` what a stream of it folds to."""

    topic: str
    state_type: type[StreamState]
    initial_state: StreamState
    decide: Callable[[Any, Any], tuple[EventData, ...]]
    evolve: Callable[[Any, Event], StreamState]


_AGGREGATES: MappingProxyType[str, Aggregate] = MappingProxyType(
    {
        Prefix.INFLUENCER: Aggregate(
            INFLUENCER_TOPIC, InfluencerStream, INITIAL_STATE, decide, evolve
        ),
        Prefix.ASSET: Aggregate(
            MEDIA_TOPIC, MediaAssetStream, MediaAssetStream(), decide_media, evolve_media
        ),
        Prefix.CONTENT: Aggregate(
            CONTENT_TOPIC, ContentStream, ContentStream(), decide_content, evolve_content
        ),
    }
)


def aggregate_of(stream_id: str) -> Aggregate:
    """Raises KeyError for a stream of none."""
    return _AGGREGATES[stream_id.partition("_")[0]]
