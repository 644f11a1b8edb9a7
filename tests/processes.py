"""Programs of ours in processes of their own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def at_work(
    module: str, *arguments: str, **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m module`, ended with the block, whatever happens in it; `options` as asyncio's."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), **options
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
