"""Histories of influencers as a live system writes them: many make progress at once."""

import random
from collections.abc import Iterator

from schemas.events import (
    Event,
    EventData,
    InfluencerCreateRequested,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerTrainingStarted,
    InfluencerUpdated,
)
from schemas.ids import Prefix, UlidSource
from schemas.images import ReferenceImage
from schemas.profile import Personality, Profile
from services.core.domain.state import DEFAULT_VIEWS

ORGANIZATION_IDS = tuple(f"0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a{n:02d}" for n in range(20))
PROJECT_ID = "5c1c8a52-2f5e-4e0b-9d75-0d2f3c4b5a02"
TIME = "2026-11-23T09:15:02.118Z"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENTS_EACH = 4 + len(DEFAULT_VIEWS)
AT_ONCE = 1000

PROFILE = Profile(
    name="Ava Chen",
    gender="female",
    age_range="25-34",
    ethnicity="East Asian",
    hair_color="black",
    hair_style="long, straight",
    style="minimalist streetwear",
    vibe="confident and warm",
    personality=Personality(traits=("curious", "warm"), tone="conversational"),
)

_IDS = UlidSource()


def interleaved(influencers: int, *, at_once: int = AT_ONCE, seed: int = 7) -> Iterator[Event]:
    """The events of that many influencers; up to `at_once` are on their way at any time."""
    chance = random.Random(seed)
    waiting = iter(range(influencers))
    running = [history() for _, _ in zip(range(at_once), waiting, strict=False)]
    while running:
        place = chance.randrange(len(running))
        event = next(running[place], None)
        if event is not None:
            yield event
        elif next(waiting, None) is not None:
            running[place] = history()
        else:
            running[place] = running[-1]
            running.pop()


def history() -> Iterator[Event]:
    """All events of one influencer: created, four images, ready, renamed."""
    influencer_id = _IDS.new(Prefix.INFLUENCER)
    organization_id = random.choice(ORGANIZATION_IDS)
    job_id = _IDS.new(Prefix.JOB)
    for sequence, data in enumerate(_history_data(job_id), start=1):
        yield Event(
            id=_IDS.new(Prefix.EVENT),
            source="/services/renderer",
            subject=influencer_id,
            time=TIME,
            sequence=sequence,
            organization_id=organization_id,
            project_id=PROJECT_ID,
            correlation_id=job_id,
            causation_id=job_id,
            traceparent=TRACEPARENT,
            data=data,
        )


def _history_data(job_id: str) -> Iterator[EventData]:
    views = DEFAULT_VIEWS
    yield InfluencerCreateRequested(
        job_id=job_id, job_kind="influencer_create", profile=PROFILE, views=views
    )
    yield InfluencerTrainingStarted(job_id=job_id, backend="dicebear", attempt=1)
    images = [rendered_image(view) for view in views]
    for index, image in enumerate(images):
        yield InfluencerImageRendered(
            job_id=job_id, index=index, total=len(views), view=views[index], image=image
        )
    yield InfluencerReady(job_id=job_id, asset_ids=tuple(image.asset_id for image in images))
    yield InfluencerUpdated(changes={"name": "Ava C."})


def rendered_image(view: str) -> ReferenceImage:
    asset_id = _IDS.new(Prefix.ASSET)
    digest = random.randbytes(32).hex()
    return ReferenceImage(
        asset_id=asset_id,
        url=f"http://127.0.0.1:8080/media/sha256/{digest}.png",
        thumbnail_url=f"http://127.0.0.1:8080/media/sha256/{digest}.webp",
        source="rendered",
        view=view,
        width=1024,
        height=1024,
        added_at=TIME,
        mime_type="image/png",
        size_bytes=123_456,
        sha256=digest,
    )
