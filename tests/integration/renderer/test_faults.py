"""What goes wrong: kills, cancels, failing backends, Postgres away, events told twice."""

import asyncio
import signal
import struct
import time
import zlib
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest

from schemas.events import Event, InfluencerFailed, InfluencerImageRendered
from services.core.domain.commands import CreateInfluencer
from tests.integration.renderer.backends import BOMBS, FAILURES, GATES
from tests.integration.renderer.conftest import Chain, Renderers
from tests.integration.service_process import ServiceProcess
from tests.waiting import eventually


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    folder = tmp_path / "gates"
    folder.mkdir()
    return folder


async def begun(gates: Path, view: str) -> None:
    async def is_begun() -> bool:
        return (gates / f"{view}.begun").exists()

    await eventually(f"the render of {view} begins", is_begun)


def open_gates(gates: Path, *views: str) -> None:
    for view in views:
        (gates / view).touch()


def indexes(events: list[Event]) -> list[int]:
    return [e.data.index for e in events if isinstance(e.data, InfluencerImageRendered)]


def terminal(events: list[Event]) -> list[str]:
    ends = {"InfluencerReady", "InfluencerFailed", "JobCanceled"}
    return [event.type for event in events if event.type in ends]


async def failure_of(chain: Chain, created: CreateInfluencer) -> InfluencerFailed:
    last = (await chain.events(created))[-1].data
    assert isinstance(last, InfluencerFailed)
    return last


async def test_a_killed_renderer_resumes_at_the_next_missing_image(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    first = await renderers.start("GatedBackend", **{GATES: str(gates)})
    created = await chain.create()
    open_gates(gates, "a", "b")
    await chain.images(created, 2)
    await begun(gates, "c")
    await first.end(signal.SIGKILL)
    (gates / "a.begun").unlink()
    open_gates(gates, "c", "d")
    await renderers.start("GatedBackend", **{GATES: str(gates)})
    await chain.ended(created)
    events = await chain.events(created)
    assert indexes(events) == [0, 1, 2, 3]
    assert terminal(events) == ["InfluencerReady"]
    assert not (gates / "a.begun").exists(), "a rendered image was rendered again"


async def test_a_killed_renderers_job_is_taken_over_by_another(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    settings = {GATES: str(gates)}
    first = await renderers.start("GatedBackend", **settings)
    created = await chain.create()
    await begun(gates, "a")
    await renderers.start("GatedBackend", RENDERER_INSTANCE_ID="renderer-1", **settings)
    await first.end(signal.SIGKILL)
    open_gates(gates, "a", "b", "c", "d")
    await chain.ended(created, within=10)
    assert indexes(await chain.events(created)) == [0, 1, 2, 3]


async def test_a_stopped_renderer_hands_back_what_it_had(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    first = await renderers.start("GatedBackend", RENDERER_LEASE="600", **{GATES: str(gates)})
    created = await chain.create()
    open_gates(gates, "a")
    await chain.images(created, 1)
    await begun(gates, "b")
    started = time.monotonic()
    assert await first.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < 5
    open_gates(gates, "b", "c", "d")
    await renderers.start("GatedBackend", RENDERER_LEASE="600", **{GATES: str(gates)})
    await chain.ended(created)
    assert indexes(await chain.events(created)) == [0, 1, 2, 3]


async def test_a_cancel_ends_a_slow_render_at_once(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    await renderers.start("GatedBackend", **{GATES: str(gates)})
    created = await chain.create()
    open_gates(gates, "a")
    await chain.images(created, 1)
    await begun(gates, "b")
    await chain.cancel(created)
    started = time.monotonic()
    await chain.queue_empty()
    assert time.monotonic() - started < 2
    open_gates(gates, "b", "c", "d")
    events = await chain.events(created)
    assert indexes(events) == [0]
    assert events[-1].type == "JobCanceled"


async def test_a_job_canceled_before_it_began_is_left_alone(
    chain: Chain, renderers: Renderers
) -> None:
    created = await chain.create()
    await chain.cancel(created)
    await renderers.start()
    other = await chain.create()
    await chain.ended(other)
    await chain.queue_empty()
    assert [event.type for event in await chain.events(created)] == [
        "InfluencerCreateRequested",
        "JobCanceled",
    ]


async def test_a_retryable_failure_is_tried_again(chain: Chain, renderers: Renderers) -> None:
    await renderers.start("FailingBackend", **{FAILURES: "2"})
    created = await chain.create(("a",))
    await chain.ended(created)
    events = await chain.events(created)
    assert indexes(events) == [0]
    assert Counter(event.type for event in events)["InfluencerTrainingStarted"] == 3
    assert terminal(events) == ["InfluencerReady"]


async def test_a_busy_backend_costs_neither_attempts_nor_starts(
    chain: Chain, renderers: Renderers
) -> None:
    await renderers.start(
        "BusyBackend", RENDERER_MAX_ATTEMPTS="1", RENDERER_MAX_STARTS="1", **{FAILURES: "3"}
    )
    created = await chain.create(("a", "b"))
    await chain.ended(created)
    events = await chain.events(created)
    assert terminal(events) == ["InfluencerReady"]
    assert Counter(event.type for event in events)["InfluencerTrainingStarted"] == 1


async def test_a_backend_that_stays_busy_fails_the_job_some_time(
    chain: Chain, renderers: Renderers
) -> None:
    await renderers.start("BusyBackend", RENDERER_BUSY_LIMIT="0.2", **{FAILURES: "100000"})
    created = await chain.create(("a",))
    await chain.ended(created)
    error = (await failure_of(chain, created)).error
    assert (error.code, error.retryable) == ("RENDER_BACKEND_ERROR", True)
    assert "busy for too long" in error.message


async def test_a_picture_bomb_of_a_backend_hurts_nobody(
    chain: Chain, renderers: Renderers, tmp_path: Path
) -> None:
    """The first is as large as we take, 150 MiB once it is decoded; the second is larger."""
    (tmp_path / "large").write_bytes(blank_png(6_200, 6_200))
    (tmp_path / "bomb").write_bytes(blank_png(9_000, 9_000))
    settings = {BOMBS: str(tmp_path), "RENDERER_MAX_ATTEMPTS": "1"}
    renderer = await renderers.start("BombingBackend", **settings)
    before = most_memory(renderer)

    created = await chain.create(("large", "bomb"))
    await chain.ended(created)

    assert indexes(await chain.events(created)) == [0]
    assert (await failure_of(chain, created)).error.code == "RENDER_BACKEND_ERROR"
    assert most_memory(renderer) - before < 50


def blank_png(width: int, height: int) -> bytes:
    """RGBA, packed without being whole in memory."""
    pack = zlib.compressobj(9)
    row = bytes(1 + 4 * width)
    data = b"".join([*(pack.compress(row) for _ in range(height)), pack.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))
        for kind, content in chunks
    )


def most_memory(renderer: ServiceProcess) -> float:
    """MiB of the process at its largest so far, without those that it has started."""
    assert renderer.process is not None
    status = Path(f"/proc/{renderer.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def test_a_failure_that_stays_fails_the_job_with_its_code(
    chain: Chain, renderers: Renderers
) -> None:
    settings = {FAILURES: "1000", "RENDERER_MAX_ATTEMPTS": "3"}
    await renderers.start("FailingBackend", **settings)
    created = await chain.create()
    await chain.ended(created)
    error = (await failure_of(chain, created)).error
    assert (error.code, error.retryable) == ("RENDER_BACKEND_ERROR", True)
    events = await chain.events(created)
    assert Counter(event.type for event in events)["InfluencerTrainingStarted"] == 3


async def test_a_rejected_render_fails_the_job_at_once(chain: Chain, renderers: Renderers) -> None:
    await renderers.start("RejectingBackend")
    created = await chain.create()
    await chain.ended(created)
    error = (await failure_of(chain, created)).error
    assert (error.code, error.retryable) == ("RENDER_REJECTED", False)
    events = await chain.events(created)
    assert Counter(event.type for event in events)["InfluencerTrainingStarted"] == 1


async def test_a_render_that_takes_too_long_fails_with_its_code(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    settings = {"RENDERER_IMAGE_TIMEOUT": "0.2", "RENDERER_MAX_ATTEMPTS": "2", GATES: str(gates)}
    await renderers.start("GatedBackend", **settings)
    created = await chain.create()
    await chain.ended(created)
    assert (await failure_of(chain, created)).error.code == "RENDER_TIMEOUT"


async def test_nothing_is_lost_while_postgres_is_away(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    """It goes while one job is under way and the events of others are on the log, not queued."""
    postgres = chain.stack.postgres
    if postgres is None:
        pytest.skip("this Postgres is not ours to stop")
    renderer = await renderers.start("GatedBackend", **{GATES: str(gates)})
    under_way = await chain.create(("a", "b"))
    await begun(gates, "a")
    assert renderer.process is not None
    renderer.process.send_signal(signal.SIGSTOP)
    others = [await chain.create(("a", "b")) for _ in range(5)]
    for other in others:
        await chain.events(other)
    await asyncio.to_thread(postgres.kill)
    renderer.process.send_signal(signal.SIGCONT)
    open_gates(gates, "a", "b")
    await eventually("the renderer notices", lambda: _says(renderer.log, "waits_for_dependency"))
    await asyncio.to_thread(postgres.start)
    for created in (under_way, *others):
        await chain.ended(created)
        events = await chain.events(created)
        assert indexes(events) == [0, 1]
        assert terminal(events) == ["InfluencerReady"]
    assert renderer.process.returncode is None


async def _says(log: Path, word: str) -> bool:
    return word in await asyncio.to_thread(log.read_text)


async def test_nothing_is_lost_while_kafka_is_away(chain: Chain, renderers: Renderers) -> None:
    kafka = chain.stack.kafka
    if kafka is None:
        pytest.skip("this Kafka is not ours to stop")
    renderer = await renderers.start()
    before = await chain.create(("a",))
    await chain.ended(before)
    await asyncio.to_thread(kafka.kill)
    during = await chain.create(("a",))
    await asyncio.to_thread(kafka.start)
    await chain.ended(during, within=60)
    after = await chain.create(("a",))
    await chain.ended(after)
    assert renderer.process is not None
    assert renderer.process.returncode is None


async def test_a_stop_is_quick_while_postgres_is_away(
    chain: Chain, renderers: Renderers, gates: Path
) -> None:
    postgres = chain.stack.postgres
    if postgres is None:
        pytest.skip("this Postgres is not ours to stop")
    renderer = await renderers.start("GatedBackend", **{GATES: str(gates)})
    await chain.create(("a",))
    await begun(gates, "a")
    await asyncio.to_thread(postgres.kill)
    try:
        started = time.monotonic()
        await renderer.end(signal.SIGTERM)
        assert time.monotonic() - started < 8
    finally:
        await asyncio.to_thread(postgres.start)


async def test_a_job_that_ends_every_process_is_given_up(
    chain: Chain, renderers: Renderers
) -> None:
    renderer = await renderers.start("DeadlyBackend", RENDERER_MAX_STARTS="2", RENDERER_LEASE="1")
    created = await chain.create()
    for _ in range(2):
        assert await renderer.ended() == -signal.SIGKILL
        await renderer.spawn()

    state = await chain.ended(created)

    assert state.job
    assert (state.job.status, state.job.attempt) == ("failed", 2)
    failed = await failure_of(chain, created)
    assert (failed.error.code, failed.error.retryable) == ("RENDER_BACKEND_ERROR", False)
