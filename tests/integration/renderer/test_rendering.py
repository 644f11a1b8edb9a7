"""From a request on the log to a ready influencer."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from schemas.events import InfluencerImageRendered
from schemas.ids import Prefix
from schemas.images import ReferenceImage
from services.core.domain.commands import RenderInfluencer
from services.core.storage.inspection import inspect_image
from services.core.storage.media import store_inspected
from services.core.storage.store import ObjectStore, open_object_store
from services.core.work.render_queue import RenderQueue, RenderTask
from tests.integration.renderer.conftest import BASE_URL, IDS, TRACEPARENT, Chain, Renderers
from tests.unit.samples import uploaded

CHAIN_OF_FOUR = [
    "InfluencerCreateRequested",
    "InfluencerTrainingStarted",
    *["InfluencerImageRendered"] * 4,
    "InfluencerReady",
]


async def test_a_request_becomes_a_ready_influencer_with_stored_images(
    chain: Chain, renderers: Renderers, store_folder: Path
) -> None:
    await renderers.start("drawing")
    created = await chain.create(("portrait", "smiling", "casual", "evening"))
    state = await chain.ended(created)
    assert state.influencer is not None
    assert state.influencer.status == "ready"
    images = state.influencer.reference_images
    assert [image.view for image in images] == ["portrait", "smiling", "casual", "evening"]
    store = open_object_store(store_folder.as_uri())
    for image in images:
        key = image.url.removeprefix(f"{BASE_URL}/media/")
        assert len(await store.get(key)) == image.size_bytes
        assert await store.exists(image.thumbnail_url.removeprefix(f"{BASE_URL}/media/"))
        assert (image.width, image.height, image.mime_type) == (1024, 1024, "image/png")


async def test_the_events_say_who_caused_them(chain: Chain, renderers: Renderers) -> None:
    await renderers.start()
    created = await chain.create()
    await chain.ended(created)
    requested, *rendered = await chain.events(created)
    assert [event.type for event in (requested, *rendered)] == CHAIN_OF_FOUR
    assert {event.causation_id for event in rendered} == {requested.id}
    assert {event.correlation_id for event in rendered} == {created.job_id}
    assert {event.source for event in rendered} == {"/services/renderer"}
    assert {event.traceparent for event in rendered} == {TRACEPARENT}
    images = [e.data for e in rendered if isinstance(e.data, InfluencerImageRendered)]
    assert [data.index for data in images] == [0, 1, 2, 3]


async def test_a_job_told_again_after_its_end_makes_nothing_twice(
    chain: Chain, renderers: Renderers
) -> None:
    await renderers.start()
    created = await chain.create()
    before = await chain.ended(created)
    await chain.queue_empty()
    task = RenderTask(
        organization_id=created.organization_id,
        influencer_id=created.influencer_id,
        job_id=created.job_id,
        causation_id="evt",
        traceparent="",
    )
    assert await RenderQueue(chain.pool, lease=6).add(task)
    await chain.queue_empty()
    assert await chain.state(created) == before


async def test_a_ready_influencer_is_rendered_again(chain: Chain, renderers: Renderers) -> None:
    await renderers.start()
    created = await chain.create()
    first = await chain.ended(created)
    job_id = IDS.new(Prefix.JOB)
    await chain.do(
        RenderInfluencer(created.organization_id, created.influencer_id, job_id, ("x", "y"))
    )
    second = await chain.ended(created)
    assert first.influencer is not None
    assert second.influencer is not None
    assert second.job is not None
    assert (second.job.job_id, second.job.status) == (job_id, "completed")
    assert [image.view for image in second.influencer.reference_images] == ["x", "y"]


async def test_a_seed_that_is_gone_fails_the_job(chain: Chain, renderers: Renderers) -> None:
    await renderers.start()
    missing = uploaded(1).model_copy(update={"url": f"{BASE_URL}/media/o/p/{'0' * 64}.png"})
    created = await chain.create(reference_images=(missing,))
    state = await chain.ended(created)
    assert state.job is not None
    assert state.job.error is not None
    assert state.job.error.code == "SEED_UNREADABLE"


async def test_an_uploaded_photo_seeds_the_render(
    chain: Chain, renderers: Renderers, store_folder: Path
) -> None:
    await renderers.start("drawing")
    store = open_object_store(store_folder.as_uri())
    plain = await chain.ended(await chain.create(("portrait",)))
    photo = await seed(chain, store, "lime")
    created = await chain.create(("portrait",), reference_images=(photo,))
    seeded = await chain.ended(created)
    assert seeded.influencer is not None
    assert seeded.influencer.status == "ready"
    uploaded_image, rendered_image = seeded.influencer.reference_images
    assert uploaded_image == photo
    assert plain.influencer is not None
    assert share_of_lime(await content_of(store, rendered_image)) > 0.05
    assert share_of_lime(await content_of(store, plain.influencer.reference_images[0])) < 0.01


async def seed(chain: Chain, store: ObjectStore, color: str) -> ReferenceImage:
    """As the api describes an upload."""
    target = BytesIO()
    Image.new("RGB", (300, 300), color).save(target, "JPEG")
    stored = await store_inspected(
        store, chain.organization_id, chain.project_id, inspect_image(target.getvalue())
    )
    return uploaded(1).model_copy(
        update={
            "url": f"{BASE_URL}/media/{stored.key}",
            "thumbnail_url": f"{BASE_URL}/media/{stored.thumbnail_key}",
            "sha256": stored.sha256,
        }
    )


async def content_of(store: ObjectStore, image: ReferenceImage) -> bytes:
    return await store.get(image.url.removeprefix(f"{BASE_URL}/media/"))


def share_of_lime(content: bytes) -> float:
    with Image.open(BytesIO(content)) as image:
        small = image.convert("RGB").resize((64, 64))
    pixels = small.tobytes()
    colors = zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)
    return sum(green > 180 and red < 110 and blue < 110 for red, green, blue in colors) / 64**2
