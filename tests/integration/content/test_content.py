"""From a request on the log to a picture, or to a clear error."""

import signal
from io import BytesIO
from pathlib import Path

import aiohttp
from PIL import Image

from schemas.events import ContentFailed, ContentGenerated
from schemas.profile import Profile
from services.core.domain.commands import UpdateInfluencer
from services.core.storage.store import open_object_store
from tests.integration.content.conftest import BASE_URL, Services, Studio
from tests.integration.renderer.backends import FAILURES, GATES
from tests.waiting import eventually


async def test_a_picture_is_made_as_soon_as_the_influencer_is_ready(
    studio: Studio, services: Services, store_folder: Path
) -> None:
    long_ago = await studio.ready_model()
    service = await services.start("drawing")
    model = await studio.model(Profile(name="Ava", gender="female"))
    request = await studio.asks(model, "Good morning from the beach!")
    await studio.waits(request)
    at_once = await studio.asks(long_ago)
    assert await studio.ended(at_once) == "completed"
    assert (await studio.state(request)).job.is_running  # type: ignore[union-attr]
    await model.becomes_ready()
    assert await studio.ended(request) == "completed"

    first, last = await studio.events(request)
    assert (last.source, last.sequence) == ("/services/content", 2)
    assert last.correlation_id == request.job_id
    assert (last.traceparent, last.project_id) == (first.traceparent, studio.project_id)
    assert isinstance(last.data, ContentGenerated)
    assert first.time <= (last.data.started_at or "") <= last.time
    image = last.data.image
    assert (image.view, image.source, image.mime_type) == ("content", "rendered", "image/png")
    store = open_object_store(store_folder.as_uri())
    for url in (image.url, image.thumbnail_url):
        key = url.removeprefix(f"{BASE_URL}/media/")
        assert key.startswith(f"{studio.organization_id}/{studio.project_id}/")
        Image.open(BytesIO(await store.get(key))).verify()
    await studio.nothing_left(request)
    await tells_of_its_jobs(service.environment["CONTENT_OPERATIONS_PORT"])


async def tells_of_its_jobs(port: str) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def measured() -> str | None:
            text = await (await session.get("/metrics")).text()
            return text if "content_events_behind{" in text else None

        metrics = await eventually("it has looked how far it is behind", measured)
        ready = await (await session.get("/readyz")).json()
    assert 'content_jobs_total{outcome="completed"} 2.0' in metrics
    assert "content_pickup_seconds_count 2.0" in metrics
    assert set(ready["checks"]) == {"postgres", "subscriber", "worker"}
    assert ready["freshness"]["state"] in ("fresh", "lagging")
    told = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in metrics.splitlines()}
    states = {name: told[f'content_state{{state="{name}"}}'] for name in ("fresh", "lagging")}
    assert sorted(states.values()) == ["0.0", "1.0"]
    assert told["content_parked_streams"] == "0.0"
    assert float(told["content_lag_seconds"]) >= 0


async def test_a_picture_fails_with_its_influencer(studio: Studio, services: Services) -> None:
    await services.start()
    failing, deleted, failed = [await studio.model() for _ in range(3)]
    await failed.fails()
    requests = [await studio.asks(model) for model in (failing, deleted, failed)]
    await studio.waits(requests[0])
    await studio.waits(requests[1])
    await failing.fails()
    await deleted.is_deleted()

    assert [await studio.ended(request) for request in requests] == [
        "INFLUENCER_FAILED",
        "INFLUENCER_DELETED",
        "INFLUENCER_FAILED",
    ]
    last = (await studio.events(requests[0]))[-1]
    assert isinstance(last.data, ContentFailed)
    assert "The prompt is refused." in last.data.error.message
    await studio.nothing_left(requests[0])


async def test_only_what_the_influencer_became_after_the_request_counts(
    studio: Studio, services: Services
) -> None:
    """A service that is far behind sees the influencer fail before it was rendered again."""
    model = await studio.model()
    await model.fails()
    await model.is_rendered_again()
    request = await studio.asks(model)
    spared = await studio.ready_model()
    await spared.is_rendered_again()
    await spared.fails()
    usable = await studio.asks(spared)
    await services.start()

    assert await studio.ended(usable) == "completed"
    await studio.waits(request)
    await model.becomes_ready()
    assert await studio.ended(request) == "completed"


async def test_a_killed_service_goes_on_waiting(studio: Studio, services: Services) -> None:
    service = await services.start()
    ready, deleted, late = [await studio.model() for _ in range(3)]
    requests = [await studio.asks(model) for model in (ready, deleted)]
    for request in requests:
        await studio.waits(request)
    await service.end(signal.SIGKILL)
    await ready.becomes_ready()
    await deleted.is_deleted()
    requests.append(await studio.asks(late))
    await late.becomes_ready()
    await services.start()

    ends = [await studio.ended(request) for request in requests]
    assert ends == ["completed", "INFLUENCER_DELETED", "completed"]
    assert [len(await studio.events(request)) for request in requests] == [2, 2, 2]


async def test_a_killed_render_is_done_again_and_ends_once(
    studio: Studio, services: Services
) -> None:
    """Killed with the bytes stored, then with the end appended and the queue not told."""
    model = await studio.ready_model()
    for place in ("worker.stored", "content.completed"):
        request = await studio.asks(model)
        killed = await services.start_to_end(FAIL_AT=place)
        assert killed == -signal.SIGKILL
        again = await services.start()
        assert await studio.ended(request) == "completed"
        await studio.nothing_left(request)
        assert [event.type for event in await studio.events(request)] == [
            "ContentRequested",
            "ContentGenerated",
        ]
        await again.end(signal.SIGKILL)


async def test_a_job_that_ends_its_process_every_time_is_given_up(
    studio: Studio, services: Services
) -> None:
    request = await studio.asks(await studio.ready_model())
    for _ in range(2):
        killed = await services.start_to_end(backend="DeadlyBackend", CONTENT_MAX_STARTS="2")
        assert killed == -signal.SIGKILL
    await services.start("DeadlyBackend", CONTENT_MAX_STARTS="2")
    assert await studio.ended(request) == "RENDER_BACKEND_ERROR"
    data = (await studio.events(request))[-1].data
    assert isinstance(data, ContentFailed)
    assert data.error.message == "The job was started 2 times and never ended."
    await studio.nothing_left(request)


async def test_a_cancel_stops_a_job_that_waits_and_one_that_renders(
    studio: Studio, services: Services, tmp_path: Path
) -> None:
    await services.start("GatedBackend", **{GATES: str(tmp_path)})
    model, slow = await studio.model(), await studio.ready_model()
    waiting, rendering = await studio.asks(model), await studio.asks(slow)
    await studio.waits(waiting)

    async def has_begun() -> bool:
        return (tmp_path / "content.begun").exists()

    await eventually("the render begins", has_begun)
    await studio.cancels(waiting)
    await studio.cancels(rendering)
    await model.becomes_ready()
    for request in (waiting, rendering):
        await studio.nothing_left(request)
        assert await studio.ended(request) == "canceled"
    (tmp_path / "content").touch()
    last = await studio.asks(slow)
    assert await studio.ended(last) == "completed"
    for request in (waiting, rendering):
        assert [event.type for event in await studio.events(request)] == [
            "ContentRequested",
            "JobCanceled",
        ]


async def test_a_failing_render_is_tried_again_and_then_given_up(
    studio: Studio, services: Services
) -> None:
    await services.start("FailingBackend", CONTENT_MAX_ATTEMPTS="3", **{FAILURES: "5"})
    model = await studio.ready_model()
    given_up = await studio.asks(model)
    assert await studio.ended(given_up) == "RENDER_BACKEND_ERROR"
    tried_again = await studio.asks(model)
    assert await studio.ended(tried_again) == "completed"


async def test_a_change_of_the_profile_shows_once_the_images_are_rendered_anew(
    studio: Studio, services: Services, store_folder: Path
) -> None:
    await services.start("drawing")
    model = await studio.model(Profile(name="Ava", hair_color="black"))
    await model.becomes_ready()
    before = await studio.asks(model)
    assert await studio.ended(before) == "completed"
    changed = await studio.do(UpdateInfluencer(*model.stream, {"hairColor": "red"}))
    model.sequence = changed.state.sequence
    same = await studio.asks(model)
    assert await studio.ended(same) == "completed"
    await model.is_rendered_again()
    await model.becomes_ready()
    renewed = await studio.asks(model)
    assert await studio.ended(renewed) == "completed"

    digests = []
    for request in (before, same, renewed):
        data = (await studio.events(request))[-1].data
        assert isinstance(data, ContentGenerated)
        digests.append(data.image.sha256)
    assert digests[0] == digests[1]
    assert digests[2] != digests[0]
