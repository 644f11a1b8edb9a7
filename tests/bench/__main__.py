"""All figures, side by side with their ceilings, in one run (`make bench`)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import asyncpg
from rich.console import Console
from rich.table import Table

from deploy.local.stack import Stack, test_stack
from services.core.eventlog.topics import TopicNames, create_topics
from services.core.postgres import open_pool
from services.ops.migrations import migrate
from tests.bench.content import bench_content
from tests.bench.create import bench_create, ratio
from tests.bench.feed import ROWS, bench_feed
from tests.bench.figures import Figures
from tests.bench.projector import bench_projector
from tests.bench.reads import bench_pages, bench_reads
from tests.bench.ready import bench_ready, median
from tests.bench.rebuild import MEMORY, bench_folding, bench_swap
from tests.bench.streams import bench_streams
from tests.bench.verify import bench_verify
from tests.bench.visible import RATE, bench_visible
from tests.bench.work_queue import bench_work_queue
from tests.conftest import database_named
from tests.faults.system import System, build_system

console = Console()
figures = Figures()


@asynccontextmanager
async def fresh_system(stack: Stack, folder: Path) -> AsyncIterator[System]:
    """A system on a database and topics of its own; its parts are not running yet."""
    name = f"bench_{uuid4().hex}"
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(f"create database {name}")
    await connection.close()
    database_url = database_named(stack.database_url, name)
    await migrate(database_url)
    topics = TopicNames(f"{name}.")
    await create_topics(stack.bootstrap_servers, topics, shard_count=1, replication_factor=1)
    pool = await open_pool(database_url, size=4, application="bench")
    system = await build_system(stack, database_url, pool, topics, folder / name)
    try:
        yield system
    finally:
        system.stop()
        pool.terminate()


async def run(stack: Stack, folder: Path, wanted: set[str]) -> None:
    for name, bench in BENCHES.items():
        if not wanted or name in wanted:
            async with fresh_system(stack, folder) as system:
                await bench(stack, system, folder)


async def _create(_: Stack, system: System, folder: Path) -> None:
    pairs = await bench_create(system, folder)
    table = Table("round", "creates/s", "ceiling/s", "p99 ms", "ceiling p99 ms", title="create")
    for number, (ours, bare) in enumerate(pairs, start=1):
        rates = (f"{ours.rate:.0f}", f"{bare.rate:.0f}")
        table.add_row(str(number), *rates, f"{ours.p99 * 1e3:.1f}", f"{bare.p99 * 1e3:.1f}")
    console.print(table)
    figures.at_least("create, of the ceiling", ratio(pairs), 0.8)


async def _visible(stack: Stack, system: System, _: Path) -> None:
    delays = await bench_visible(system.database_url, stack.bootstrap_servers, system.topics)
    console.print(
        f"commit to visible, {RATE} events/s, {delays.events} events:"
        f" p50 {delays.p50 * 1e3:.1f} ms, p99 {delays.p99 * 1e3:.1f} ms"
    )
    figures.at_most("commit to visible, p50", delays.p50 * 1e3, 20, "ms")


async def _ready(_: Stack, system: System, __: Path) -> None:
    rounds = await bench_ready(system)
    middle = median(rounds)
    console.print(
        f"create to ready, four 1024 px images, {len(rounds)} rounds: p50 {middle.total:.2f} s"
        f", of which the worker {middle.rendering:.2f} s"
    )
    figures.at_most("create to ready, p50", middle.total, 1.5, "s")


async def _reads(_: Stack, system: System, folder: Path) -> None:
    for name, pairs in (await bench_reads(system, folder)).items():
        rates = ", ".join(f"{ours.rate:.0f}/{bare.rate:.0f}" for ours, bare in pairs)
        console.print(f"GET {name}, beside the ceiling, each round: {rates} a second")
        figures.at_least(f"GET {name}, of the ceiling", ratio(pairs), 0.7)


async def _pages(_: Stack, system: System, __: Path) -> None:
    medians = await bench_pages(system, (1_000, 1_000_000))
    for (rows, page), seconds in medians.items():
        console.print(f"list, {rows} influencers, page {page}: p50 {seconds * 1e3:.1f} ms")
    slowest, fastest = max(medians.values()), min(medians.values())
    figures.at_most("page of a list, the slowest of the fastest", slowest / fastest, 1.5, "times")


async def _streams(_: Stack, system: System, __: Path) -> None:
    ours = await bench_streams(system)
    middle, last = (ours.delays[int(len(ours.delays) * part)] * 1e3 for part in (0.5, 0.99))
    console.print(
        f"{ours.opened} event streams on one api process: {ours.memory:.0f} MiB (before"
        f" {ours.memory_before:.0f}), idle {ours.cpu:.1%} of a core, opened in {ours.opening:.1f} s"
    )
    console.print(
        f"a cancel reaches the stream of its job: p50 {middle:.0f} ms, p99 {last:.0f} ms;"
        f" all {ours.opened} streams of one job: {ours.everyone * 1e3:.0f} ms"
    )
    figures.at_least("event streams on one api process", ours.opened, 5_000)
    figures.at_most("its memory with them", ours.memory, 500, "MiB")


async def _feed(_: Stack, system: System, __: Path) -> None:
    ours = await bench_feed(system)
    for name, delays in (("a stream", ours.streamed), ("a read that waits", ours.waited)):
        middle, last = (delays[int(len(delays) * part)] * 1e3 for part in (0.5, 0.99))
        console.print(
            f"a create's 202 to its event at {name} of the feed: p50 {middle:.0f} ms,"
            f" p99 {last:.0f} ms"
        )
    console.print(
        f"feed of {ROWS} events, pages of 100: p50 {ours.first_page * 1e3:.1f} ms,"
        f" {ours.rate:.0f} events/s for one reader; nothing new {ours.last_page * 1e3:.1f} ms;"
        f" a narrow filter {ours.narrow_page * 1e3:.1f} ms"
    )


async def _content(_: Stack, system: System, __: Path) -> None:
    delays = await bench_content(system)
    console.print(
        f"`InfluencerReady` to a worker with the content job, {len(delays)} rounds:"
        f" p50 {delays[len(delays) // 2] * 1e3:.0f} ms, p100 {delays[-1] * 1e3:.0f} ms"
    )
    figures.at_most("ready to its content job, p50", delays[len(delays) // 2] * 1e3, 200, "ms")


async def _queue(_: Stack, system: System, __: Path) -> None:
    short, long = await bench_work_queue(system.database_url)
    for ours in (short, long):
        take, add = ours.take * 1e3, ours.add * 1e3
        console.print(
            f"a queue of {ours.length:,}: take {take:.2f} ms, add {add:.2f} ms,"
            f" a third organization that comes late gets {ours.newcomer:.0%} (fair: 33%)"
        )
    console.print(
        f"a long queue costs {long.take / short.take:.1f} times a short one's take,"
        f" {long.add / short.add:.1f} times its add"
    )
    figures.at_most("take of a long queue, of a short one's", long.take / short.take, 2, "times")
    figures.at_most("add to a long queue, of a short one's", long.add / short.add, 2, "times")


async def _projector(stack: Stack, _: System, __: Path) -> None:
    ours = await bench_projector(stack)
    console.print(
        f"projector, one process, {ours.events:,} events: {ours.projecting:,.0f} events/s"
        f", {ours.projecting / ours.reading:.2f} of merely reading"
        f" ({ours.reading:,.0f}); CPU per event: {ours.own:.0f} µs, its Postgres backends"
        f" {ours.backends:.0f} µs"
    )
    figures.at_least("projector, one process", ours.projecting, 20_000, "events/s")


async def _rebuild(stack: Stack, _: System, __: Path) -> None:
    ours = await bench_folding(stack)
    console.print(
        f"rebuild, one worker: {ours.one:,.0f} events/s, {ours.one / ours.reading:.2f} of merely"
        f" reading ({ours.reading:,.0f}); two: {ours.two:,.0f}, {ours.two / ours.one:.2f}"
        f" of one; indexes {ours.rest:.1f} s; memory of a worker: {ours.memory:,.0f} MiB"
    )
    figures.at_least("rebuild, of merely reading", ours.one / ours.reading, 0.3)
    figures.at_least("rebuild by two, of one", ours.two / ours.one, 1.6, "times")
    figures.at_most("rebuild, memory of a worker", ours.memory, MEMORY, "MiB")


async def _swap(_: Stack, system: System, __: Path) -> None:
    ours = await bench_swap(system)
    console.print(
        f"{len(ours.held_up)} swaps under load: held up writers for at most"
        f" {max(ours.held_up):.0f} ms; {len(ours.met)} requests met one, the slowest took"
        f" {max(ours.met):.0f} ms, of {len(ours.others)} others {max(ours.others):.0f} ms"
    )
    figures.at_most("a swap holds up writers", max(ours.held_up), 50, "ms")


async def _verify(stack: Stack, _: System, __: Path) -> None:
    ours = await bench_verify(stack)
    console.print(
        f"verify, one worker: {ours.one:,.0f} events/s, {ours.one / ours.rebuilding:.2f} of a whole"
        f" rebuild ({ours.rebuilding:,.0f} with indexes, catch-up and comparison); two:"
        f" {ours.two:,.0f}; restore, one worker: {ours.restoring:,.0f};"
        f" merely reading: {ours.reading:,.0f};"
        f" memory of a process: {ours.memory:,.0f} MiB"
    )
    figures.at_least("verify, of a whole rebuild", ours.one / ours.rebuilding, 1.0, "times")
    figures.at_most("verify, memory of a process", ours.memory, 256, "MiB")


BENCHES = {
    "create": _create,
    "reads": _reads,
    "pages": _pages,
    "visible": _visible,
    "ready": _ready,
    "streams": _streams,
    "feed": _feed,
    "content": _content,
    "queue": _queue,
    "projector": _projector,
    "rebuild": _rebuild,
    "verify": _verify,
    "swap": _swap,
}


def main() -> None:
    with TemporaryDirectory() as name, test_stack(Path(name) / "stack") as stack:
        asyncio.run(run(stack, Path(name), set(sys.argv[1:])))
    console.print(figures.table())
    if figures.missed:
        raise SystemExit(f"missed: {', '.join(figures.missed)}")


if __name__ == "__main__":
    main()
