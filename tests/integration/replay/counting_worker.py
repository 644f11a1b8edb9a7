"""A worker that counts, or fails as it is told."""

import asyncio
import os
from typing import Any

from services.core.errors import DependencyUnavailable
from services.core.replay.processes import Report, serve_order


async def carry_out(order: dict[str, Any], report: Report) -> None:
    for number in range(1, order.get("to", 0) + 1):
        report(number)
    if order.get("waits"):
        await asyncio.Event().wait()
    match order.get("raises"):
        case "bug":
            raise ValueError("a bug")
        case "unavailable":
            raise DependencyUnavailable("kafka", "away")
        case "death":
            os._exit(9)


if __name__ == "__main__":
    serve_order(carry_out)
