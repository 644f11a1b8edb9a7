"""An event that can't be handled, or not to its end, is not acknowledged: the process ends."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.core.abrupt_end import EXIT_STATUS
from tests.integration.renderer.backends import TROUBLE
from tests.integration.renderer.conftest import Chain, Renderers
from tests.waiting import eventually


@dataclass(frozen=True)
class Trouble:
    """Of the queue, once; the file is gone when it has come."""

    file: Path

    def environment(self, kind: str) -> dict[str, str]:
        self.file.write_text(kind)
        return {TROUBLE: str(self.file)}

    async def has_come(self) -> bool:
        return not await asyncio.to_thread(self.file.exists)


@pytest.fixture
def trouble(tmp_path: Path) -> Trouble:
    return Trouble(tmp_path / "trouble")


async def test_an_event_that_could_not_be_queued_is_queued_after_the_restart(
    chain: Chain, renderers: Renderers, trouble: Trouble
) -> None:
    renderer = await renderers.start("QueueInTrouble", **trouble.environment("raises"))
    created = await chain.create(("a",))
    assert await renderer.ended() == EXIT_STATUS

    await renderer.start()

    state = await chain.ended(created)
    assert state.influencer is not None
    assert state.influencer.status == "ready"


async def test_an_event_that_a_stop_cuts_off_is_queued_after_the_restart(
    chain: Chain, renderers: Renderers, trouble: Trouble
) -> None:
    renderer = await renderers.start("QueueInTrouble", **trouble.environment("hangs"))
    created = await chain.create(("a",))
    await eventually("the event is under way", trouble.has_come)
    assert await renderer.end(signal.SIGTERM) == EXIT_STATUS

    await renderer.start()

    state = await chain.ended(created)
    assert state.influencer is not None
    assert state.influencer.status == "ready"
