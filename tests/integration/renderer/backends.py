"""Backends that tests steer from another process, through a folder and the environment."""

import asyncio
import os
import signal
from io import BytesIO
from pathlib import Path

from PIL import Image

from services.core.rendering.base import (
    RenderBackendError,
    RenderBusy,
    RenderRejected,
    RenderRequest,
)
from services.core.work.render_queue import RenderQueue, RenderTask
from tests.waiting import eventually

BOMBS = "TEST_RENDER_BOMBS"
GATES = "TEST_RENDER_GATES"
TROUBLE = "TEST_QUEUE_TROUBLE"
FAILURES = "TEST_RENDER_FAILURES"


class TinyBackend:
    """One colour, at once."""

    name = "tiny"

    async def render(self, request: RenderRequest) -> bytes:
        encoded = BytesIO()
        color = (sum(request.view.encode()) % 256, sum(request.influencer_id.encode()) % 256, 90)
        Image.new("RGB", (16, 16), color).save(encoded, "PNG")
        return encoded.getvalue()

    async def close(self) -> None:
        return


class GatedBackend(TinyBackend):
    """Renders a view when the file `<view>` is in the folder; leaves `<view>.begun` there."""

    name = "gated"

    async def render(self, request: RenderRequest) -> bytes:
        gates = Path(os.environ[GATES])
        (gates / f"{request.view}.begun").touch()

        async def opened() -> bool:
            return (gates / request.view).exists()

        await eventually(f"the gate of {request.view} opens", opened, within=120)
        return await super().render(request)


class DeadlyBackend(TinyBackend):
    """Ends the process that asks it for anything."""

    name = "deadly"

    async def render(self, request: RenderRequest) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""


class FailingBackend(TinyBackend):
    """Fails as often as the environment says, then renders."""

    name = "failing"

    def __init__(self) -> None:
        self._left = int(os.environ[FAILURES])

    async def render(self, request: RenderRequest) -> bytes:
        if self._left > 0:
            self._left -= 1
            raise RenderBackendError("the test wants it so")
        return await super().render(request)


class RejectingBackend(TinyBackend):
    name = "rejecting"

    async def render(self, request: RenderRequest) -> bytes:
        raise RenderRejected("not this one")


class BusyBackend(TinyBackend):
    """Says so as often as the environment wants it, then renders."""

    name = "busy"

    def __init__(self) -> None:
        self._left = int(os.environ[FAILURES])

    async def render(self, request: RenderRequest) -> bytes:
        if self._left > 0:
            self._left -= 1
            raise RenderBusy("429 Too Many Requests", retry_after=0.05)
        return await super().render(request)


class BombingBackend(TinyBackend):
    """Gives for each view the file of its name in the folder."""

    name = "bombing"

    async def render(self, request: RenderRequest) -> bytes:
        return (Path(os.environ[BOMBS]) / request.view).read_bytes()


class QueueInTrouble(TinyBackend):
    """Not the backend is in trouble, but the queue: once, as the file in the environment says."""

    def __init__(self) -> None:
        trouble = Path(os.environ[TROUBLE])
        if trouble.exists():
            RenderQueue.add = {"raises": _raises, "hangs": _hangs}[trouble.read_text()]  # type: ignore[assignment]


def _once() -> None:
    Path(os.environ[TROUBLE]).unlink()


async def _raises(queue: RenderQueue, task: RenderTask) -> bool:
    _once()
    raise RuntimeError("a bug")


async def _hangs(queue: RenderQueue, task: RenderTask) -> bool:
    _once()
    await asyncio.Event().wait()
    return True
