"""Wall clocks that jump, forwards and back, in one service at a time."""

from tests.faults.arena import Arena
from tests.faults.scenario import Scenario

JUMPS = (3600.0, -3600.0, 1.5, -0.4, 86400.0 * 400)


async def jump(arena: Arena, faults: int) -> None:
    parts = list(arena.system.parts.values())
    offsets = {part.name: arena.folder / f"{part.name}.clock" for part in parts}
    for part in parts:
        offsets[part.name].write_text("0")
        part.module = ("tests.faults.skewed", str(offsets[part.name]), f"services.{part.name}")
        part.kill()
        part.start()
        await part.until_ready()
    for turn in range(faults):
        part = parts[turn % len(parts)]
        seconds = arena.chance.choice(JUMPS)
        offsets[part.name].write_text(str(seconds))
        arena.broke("a clock jumps ahead" if seconds > 0 else "a clock jumps back")
        await arena.until_accepted(5)
    for file in offsets.values():
        file.write_text("0")
    await arena.until_accepted(5)


SCENARIOS = [Scenario("clocks", jump, short=6, long=50)]
