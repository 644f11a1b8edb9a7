"""A subscriber that is a program: started, stopped with SIGTERM, killed with SIGKILL."""

import asyncio
import os
import signal
from collections.abc import Sequence

from .under_test import Effect, NotConforming, Surroundings, parse_effects

STOP_TIMEOUT = 20.0
EFFECTS_TIMEOUT = 20.0


class Program:
    """`command` runs a subscriber; `effects_command` prints the effects that its store holds.

    Without the latter the file `SUBSCRIBER_EFFECTS` is read, to which the subscriber appends.
    """

    def __init__(self, command: Sequence[str], effects_command: Sequence[str] = ()) -> None:
        self._command = command
        self._effects_command = effects_command

    async def start(self, surroundings: Surroundings) -> "ProgramMember":
        with (surroundings.state / "output.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **surroundings.environment()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return ProgramMember(process)

    async def effects(self, surroundings: Surroundings) -> Sequence[Effect]:
        if self._effects_command:
            return parse_effects((await self._printed(surroundings)).splitlines())
        if not surroundings.effects.exists():
            return ()
        text = surroundings.effects.read_text()
        return parse_effects(text[: text.rfind("\n") + 1].splitlines())  # the last may be half

    async def _printed(self, surroundings: Surroundings) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._effects_command,
            env={**os.environ, **surroundings.environment()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(EFFECTS_TIMEOUT):
                printed, complaint = await process.communicate()
        except TimeoutError:
            process.kill()
            raise NotConforming(f"effects took longer than {EFFECTS_TIMEOUT:g} s") from None
        if process.returncode:
            raise NotConforming(f"effects ended with {process.returncode}: {complaint.decode()}")
        return printed.decode()


class ProgramMember:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def ended(self) -> str | None:
        status = self._process.returncode
        return None if status is None else f"its process ended with status {status}"

    async def stop(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
            raise NotConforming(f"it did not end within {STOP_TIMEOUT:g} s of SIGTERM") from None

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: a shell in between would keep it for itself."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, number)
