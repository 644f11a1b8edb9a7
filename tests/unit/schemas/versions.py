"""A type with a past: version 1 of a creation, as an earlier release might have written it."""

from typing import Any, ClassVar

import orjson
import pytest

from schemas import events
from schemas.events import (
    EVENT_TYPES,
    Event,
    EventData,
    InfluencerCreateRequested,
    Upcaster,
    dataschema,
    headers_of,
    readings,
)
from schemas.ids import JobId
from schemas.profile import Profile


class InfluencerCreateRequestedV1(EventData):
    """Said less: a name and a style instead of a profile, and how many poses."""

    event_type: ClassVar[str] = "InfluencerCreateRequested"

    job_id: JobId
    name: str
    style: str | None = None
    poses: tuple[str, ...]


def lift_create_requested(old: InfluencerCreateRequestedV1) -> InfluencerCreateRequested:
    return InfluencerCreateRequested(
        job_id=old.job_id,
        job_kind="influencer_create",
        profile=Profile(name=old.name, style=old.style),
        views=old.poses,
    )


def register(patch: pytest.MonkeyPatch) -> None:
    """Until `patch` is undone, today's creation is version 2, and version 1 is lifted to it."""
    patch.setattr(InfluencerCreateRequested, "version", 2)
    models: list[type[EventData]] = [*EVENT_TYPES.values(), InfluencerCreateRequestedV1]
    upcasters: dict[type[EventData], Upcaster] = {
        InfluencerCreateRequestedV1: lift_create_requested
    }
    patch.setattr(events, "_READINGS", readings(models, upcasters))


def old_headers(event: Event) -> dict[str, str]:
    """The headers of `event` as the earlier release wrote them."""
    return headers_of(event) | {"ce_dataschema": dataschema(event.type, 1)}


def old_value(data: InfluencerCreateRequested) -> bytes:
    """What the earlier release would have written where this one writes `data`."""
    old: dict[str, Any] = {
        "jobId": data.job_id,
        "name": data.profile.name,
        "poses": list(data.views),
    }
    if data.profile.style:
        old["style"] = data.profile.style
    return orjson.dumps(old)
