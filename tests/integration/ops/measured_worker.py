"""A worker of a rebuild that tells, at its end, the most memory that it had."""

from pathlib import Path
from typing import Any

from services.core.garbage import spare_collections
from services.core.readmodel.rebuild.filling import carry_out
from services.core.replay.processes import Report, serve_order


async def carry_out_measured(order: dict[str, Any], report: Report) -> None:
    await carry_out(order, lambda _: None)
    report(_most_memory())


def _most_memory() -> int:
    """In MiB. Of this program alone: `ru_maxrss` counts that of whoever started it as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("the kernel does not tell")


if __name__ == "__main__":
    spare_collections()
    serve_order(carry_out_measured)
