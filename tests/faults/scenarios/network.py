"""A bad network between any two parts: late, cut, black holes, one way only, drop by drop.

Between the clients and the api, and between each service and Kafka or Postgres. The object store is
a folder here, to which there is no network.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, any_free_port
from deploy.local.postgres import LocalPostgres
from deploy.local.stack import Stack, cache_directory
from tests.faults.arena import Arena, LoadShape, for_a_while
from tests.faults.proxy import Proxy, Trouble, proxy_to
from tests.faults.scenario import Scenario
from tests.faults.system import SERVICES, System

CLIENTS = "the clients and the api"
TROUBLES = [trouble for trouble in Trouble if trouble is not Trouble.NONE]
LONGEST = 3.0
BLACK_HOLE = 7.0
"""Seconds: with the moment added, most are longer than the request time-outs of 8 s."""


@dataclass(frozen=True)
class ProxiedStack(Stack):
    """`inner` are the ports that the broker listens on for each service, `outer` those of the
    proxies in front of them."""

    inner: Mapping[str, int] = field(default_factory=dict)
    outer: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def with_a_listener_for_each_service(folder: Path) -> Iterator[Stack]:
    """A broker tells its clients where it is, so each service has an address of its own."""
    inner = {name: any_free_port() for name in SERVICES}
    outer = {name: any_free_port() for name in SERVICES}
    port = any_free_port()
    names = ["PLAINTEXT", "CONTROLLER", *(name.upper() for name in SERVICES)]
    kafka = LocalKafka(
        folder / "kafka",
        cache=cache_directory(),
        port=port,
        controller_port=(controller := any_free_port()),
        settings={
            "listeners": ",".join(
                [
                    f"PLAINTEXT://{LOOPBACK}:{port}",
                    f"CONTROLLER://{LOOPBACK}:{controller}",
                    *(f"{name.upper()}://{LOOPBACK}:{inner[name]}" for name in SERVICES),
                ]
            ),
            "advertised.listeners": ",".join(
                [
                    f"PLAINTEXT://{LOOPBACK}:{port}",
                    *(f"{name.upper()}://{LOOPBACK}:{outer[name]}" for name in SERVICES),
                ]
            ),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
        },
    )
    with LocalPostgres(folder / "postgres") as postgres, kafka:
        yield ProxiedStack(postgres.dsn, kafka.bootstrap_servers, kafka, postgres, inner, outer)


@asynccontextmanager
async def proxied(system: System, stack: Stack) -> AsyncIterator[dict[str, Proxy]]:
    """Every service reaches Kafka and Postgres through proxies of its own, and clients the api."""
    postgres_port = urlsplit(stack.database_url).port
    assert postgres_port is not None
    assert isinstance(stack, ProxiedStack)
    async with AsyncExitStack() as running:
        proxies: dict[str, Proxy] = {}
        for name in SERVICES:
            outer = stack.outer[name]
            kafka = await running.enter_async_context(proxy_to(stack.inner[name], outer))
            postgres = await running.enter_async_context(proxy_to(postgres_port))
            part = system.parts[name]
            part.environment = {
                **part.environment,
                "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{outer}",
                "DATABASE_URL": moved(system.database_url, postgres.port),
            }
            proxies |= {f"{name} and Kafka": kafka, f"{name} and Postgres": postgres}
        api_port = urlsplit(system.base_url).port
        assert api_port is not None
        proxies[CLIENTS] = await running.enter_async_context(proxy_to(api_port))
        system.base_url = f"http://{LOOPBACK}:{proxies[CLIENTS].port}"
        yield proxies


async def trouble_everywhere(arena: Arena, faults: int) -> None:
    """Two links at a time are in trouble, each for a while of its own."""
    links = list(arena.network.items())
    kinds = [(link, trouble) for link in links for trouble in TROUBLES]
    arena.chance.shuffle(kinds)
    wanted = [kinds[turn % len(kinds)] for turn in range(faults)]
    await asyncio.gather(*(_one_after_the_other(arena, wanted[first::2]) for first in range(2)))


async def _one_after_the_other(
    arena: Arena, wanted: Sequence[tuple[tuple[str, Proxy], Trouble]]
) -> None:
    for (name, proxy), trouble in wanted:
        await proxy.make(trouble)
        arena.broke(f"{trouble} between {name}")
        await for_a_while(_seconds(arena, trouble))
        await proxy.make(Trouble.NONE)
        await arena.a_moment(1.0)


def _seconds(arena: Arena, trouble: Trouble) -> float:
    is_black_hole = trouble.swallows(True) or trouble.swallows(False)
    return arena.chance.random() * LONGEST + (BLACK_HOLE if is_black_hole else 0.0)


def moved(database_url: str, port: int) -> str:
    parts = urlsplit(database_url)
    user = f"{parts.username}:{parts.password}"
    return urlunsplit(parts._replace(netloc=f"{user}@{LOOPBACK}:{port}"))


SCENARIOS = [
    Scenario(
        "network",
        trouble_everywhere,
        short=8,
        long=110,
        shape=LoadShape(pause=0.2),
        stack=with_a_listener_for_each_service,
        network=proxied,
    )
]
