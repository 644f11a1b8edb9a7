"""A database with the services' roles, and a login of its own for each of them."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.ops.grants import grant
from tests.conftest import database_named, execute

SERVICES = ("api", "renderer", "projector", "content")


@dataclass(frozen=True)
class Granted:
    """`logins` are URLs by service; `owner` is the URL of the tables' owner."""

    owner: str
    logins: dict[str, str]


@pytest.fixture(scope="package")
async def granted(stack: Stack, template_database: str) -> AsyncIterator[Granted]:
    name = f"access_{uuid4().hex}"
    await execute(stack.database_url, f"create database {name} template {template_database}")
    owner = database_named(stack.database_url, name)
    await grant(owner)
    await grant(owner)
    logins, users = {}, []
    for service in SERVICES:
        user, password = f"{service}_{uuid4().hex}", secrets.token_urlsafe()
        await execute(
            owner, f"create role {user} login password '{password}' in role influencer_{service}"
        )
        users.append(user)
        logins[service] = as_user(owner, user, password)
    yield Granted(owner, logins)
    await execute(stack.database_url, f"drop database {name} with (force)")
    for user in users:
        await execute(stack.database_url, f"drop role {user}")


def as_user(database_url: str, user: str, password: str) -> str:
    parts = urlsplit(database_url)
    _, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))
