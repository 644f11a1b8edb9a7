"""`influencerctl lag`."""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from services.ops.connections import DEFAULT_PATIENCE, patience
from services.ops.faults import ExitStatus
from services.ops.lag import ConsumerLag, Lag, OutboxDepth, lag_meter, measure
from services.ops.settings import operations_settings
from services.ops.terminal import (
    JsonOption,
    TimeoutOption,
    answer_json,
    console,
    json_line,
    run,
    table,
)

SAMPLE_SECONDS = 3.0
"""A consumer group commits every few seconds: in less time it may seem to stand still."""


def lag(
    max: Annotated[
        int, typer.Option("--max", min=0, help="Status 1 when anything is more behind than this.")
    ] = 1000,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Status 1 when a consumer takes longer than this to catch up."),
    ] = None,
    sample: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, max=60, help="Take rates over so long if any is behind."
        ),
    ] = SAMPLE_SECONDS,
    watch: Annotated[
        bool, typer.Option("--watch", help="Measure again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How often --watch measures.")
    ] = 2.0,
    timeout: TimeoutOption = DEFAULT_PATIENCE,
    json: JsonOption = False,
) -> None:
    """Say how many events each consumer and the outbox are behind, and for how long.

    The projector, the renderer, and whatever consumer group has committed on our topics.

    Example: influencerctl lag --max 100 --max-seconds 60 || alert

    Example: influencerctl lag --watch
    """
    if watch:
        return run(_watch(every, timeout, json), follows=True)
    measured = run(_measure(sample, timeout))
    if json:
        answer_json(measured.as_json())
    else:
        console().print(_rendered(measured))
    if measured.worst > max or (max_seconds is not None and measured.slowest > max_seconds):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))
    return None


async def _measure(sample: float, seconds: float) -> Lag:
    settings = operations_settings()
    async with patience(seconds + sample):
        return await measure(settings, sample)


async def _watch(every: float, seconds: float, json: bool) -> None:
    out = console()
    async with AsyncExitStack() as stack:
        meter = await stack.enter_async_context(lag_meter(operations_settings()))
        live = None
        if out.is_terminal and not json:
            live = stack.enter_context(Live(console=out, auto_refresh=False))
        while True:
            async with patience(seconds):
                measured = await meter.measure()
            if json:
                json_line(measured.as_json())
            elif live:
                live.update(_rendered(measured), refresh=True)
            else:
                out.print(_rendered(measured))
            await asyncio.sleep(every)


def _rendered(measured: Lag) -> RenderableType:
    """The consumers, then every partition that somebody is behind on."""
    parts: list[RenderableType] = [
        table(
            [_told(consumer) for consumer in measured.consumers] + [_outbox(measured.outbox)],
            {
                "consumer": "Consumer",
                "behind": "Events behind",
                "reads": "Reads/s",
                "arrives": "Arrives/s",
                "seconds": "Caught up in",
            },
        )
    ]
    late = [row.as_json() for row in measured.partitions if row.behind]
    if late:
        columns = {
            "consumer": "Consumer",
            "topic": "Topic",
            "partition": "Partition",
            "position": "Position",
            "end": "End",
            "behind": "Behind",
        }
        parts += [Text(), table(late, columns)]
    return Group(*parts)


def _told(consumer: ConsumerLag) -> dict[str, object]:
    rate = consumer.rate
    return {
        "consumer": consumer.consumer,
        "behind": consumer.behind,
        "reads": f"{rate.reads:,.1f}" if rate else None,
        "arrives": f"{rate.arrives:,.1f}" if rate else None,
        "seconds": _duration(consumer.seconds_to_catch_up),
    }


def _outbox(outbox: OutboxDepth) -> dict[str, object]:
    oldest = f", the oldest {outbox.age_seconds:.1f} s old" if outbox.depth else ""
    return {"consumer": "outbox", "behind": f"{outbox.depth} waiting{oldest}"}


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return "never" if seconds == float("inf") else f"{seconds:,.0f} s"
