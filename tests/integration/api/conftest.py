"""One api and one database for all tests here; each test is an organization of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from uuid import uuid4

import aiohttp
import pytest

from deploy.local.stack import Stack
from services.ops.grants import grant
from tests.conftest import database_named, execute
from tests.integration.api.calling import Caller, new_caller
from tests.integration.api.serving import Service, serving

NewCaller = Callable[..., Awaitable[Caller]]


@pytest.fixture(scope="session")
async def shared_database_url(stack: Stack, template_database: str) -> AsyncIterator[str]:
    name = f"api_{uuid4().hex}"
    await execute(stack.database_url, f"create database {name} template {template_database}")
    yield database_named(stack.database_url, name)
    await execute(stack.database_url, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
async def service(shared_database_url: str) -> AsyncIterator[Service]:
    """Behind the wall: what an answer needs must be readable there."""
    await grant(shared_database_url)
    async with serving(shared_database_url, walled=True) as running:
        yield running


@pytest.fixture(scope="session")
async def replica(shared_database_url: str, service: Service) -> AsyncIterator[Service]:
    """A second api on the same database."""
    async with serving(shared_database_url, store=service.store) as running:
        yield running


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
def new(http: aiohttp.ClientSession, service: Service) -> NewCaller:
    """`await new("jobs:read", …)` makes a caller with these scopes, or all if none is named."""
    return partial(new_caller, http, service)


@pytest.fixture
async def caller(new: NewCaller) -> Caller:
    return await new()
