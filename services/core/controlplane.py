"""Organizations, projects and API keys: plain tables, not events."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID, uuid4

import asyncpg

from schemas.ids import IdentifierSource, Prefix
from services.core.postgres import Connection

Tier = Literal["standard", "pilot", "partner", "internal"]
TIERS: tuple[Tier, ...] = get_args(Tier)

SCOPES: tuple[str, ...] = (
    "influencers:read",
    "influencers:write",
    "jobs:read",
    "jobs:cancel",
    "media:read",
    "media:write",
    "content:write",
    "events:read",
    "webhooks:write",
    "*",
)
_IMPLIED = {"influencers:read": "influencers:write"}
_KEY_START = "isk_"

FIND_KEY = """
select k.key_id, k.key_hash, k.organization_id, o.name as organization_name, k.scopes, k.tier,
       k.expires_at, k.revoked_at
from control.api_keys k join control.organizations o using (organization_id)
where k.key_id = $1
"""


INSERT_KEY = """
insert into control.api_keys
    (key_id, organization_id, name, key_hash, scopes, tier, expires_at)
values ($1, $2, $3, $4, $5, $6, $7)
"""
REVOKE_KEY = """
update control.api_keys set revoked_at = coalesce(revoked_at, now()) where key_id = $1
returning key_id
"""


class UnknownOrganization(LookupError):
    """There is no organization with this id."""

    def __init__(self, organization_id: str) -> None:
        super().__init__(f"there is no organization {organization_id}")
        self.organization_id = organization_id


class UnknownScope(ValueError):
    """A key can't be given a scope that no route asks for."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"there is no scope {scope!r}; the scopes are {', '.join(SCOPES)}")
        self.scope = scope


@dataclass(frozen=True, slots=True)
class Organization:
    organization_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Project:
    project_id: str
    organization_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ListedKey:
    """What may be shown of a key."""

    key_id: str
    organization_id: str
    name: str
    scopes: tuple[str, ...]
    tier: Tier
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is checked; `key_hash` is the SHA-256 of the whole key (32 bytes)."""

    key_id: str
    key_hash: bytes
    organization_id: str
    organization_name: str
    scopes: tuple[str, ...]
    tier: Tier
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, key_hash: bytes, now: datetime) -> bool:
        """Whether the presented key's hash is this key's, and it may be used at `now`."""
        same = secrets.compare_digest(self.key_hash, key_hash)
        expired = self.expires_at is not None and self.expires_at <= now
        return same and not expired and self.revoked_at is None

    def allows(self, scope: str) -> bool:
        implied_by = _IMPLIED.get(scope)
        return "*" in self.scopes or scope in self.scopes or implied_by in self.scopes


def new_api_key(ids: IdentifierSource) -> tuple[str, str]:
    """A fresh (key, key id); the key carries 256 random bits and is shown only once."""
    key_id = ids.new(Prefix.KEY)
    return f"{_KEY_START}{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}", key_id


def key_id_of(key: str) -> str | None:
    """The public id that a presented key names, None when it isn't formed like one of ours."""
    parts = key.split("_", 2)
    if len(parts) != 3 or f"{parts[0]}_" != _KEY_START or len(parts[1]) != 26:
        return None
    return f"key_{parts[1]}"


def hash_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def create_organization(
    connection: Connection, name: str, new_id: Callable[[], UUID] = uuid4
) -> str:
    """The new organization's id."""
    organization_id = str(new_id())
    await connection.execute(
        "insert into control.organizations (organization_id, name) values ($1, $2)",
        organization_id,
        name,
    )
    return organization_id


async def list_organizations(connection: Connection) -> list[Organization]:
    """All organizations, oldest first."""
    rows = await connection.fetch(
        "select * from control.organizations order by created_at, organization_id"
    )
    return [Organization(str(r["organization_id"]), r["name"], r["created_at"]) for r in rows]


async def require_organization(connection: Connection, organization_id: str) -> None:
    """Raises UnknownOrganization."""
    found = "select exists (select from control.organizations where organization_id = $1)"
    if not await connection.fetchval(found, organization_id):
        raise UnknownOrganization(organization_id)


async def create_project(
    connection: Connection, organization_id: str, name: str, new_id: Callable[[], UUID] = uuid4
) -> str:
    """The new project's id. Raises UnknownOrganization."""
    project_id = str(new_id())
    try:
        await connection.execute(
            "insert into control.projects (project_id, organization_id, name) values ($1, $2, $3)",
            project_id,
            organization_id,
            name,
        )
    except asyncpg.ForeignKeyViolationError:
        raise UnknownOrganization(organization_id) from None
    return project_id


def require_scopes(scopes: Sequence[str]) -> None:
    """Raises UnknownScope."""
    for scope in scopes:
        if scope not in SCOPES:
            raise UnknownScope(scope)


async def create_key(
    connection: Connection,
    ids: IdentifierSource,
    *,
    organization_id: str,
    name: str,
    scopes: Sequence[str],
    tier: Tier,
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """The new (key, key id); the key can't be read again.

    Raises UnknownScope and UnknownOrganization.
    """
    require_scopes(scopes)
    key, key_id = new_api_key(ids)
    try:
        await connection.execute(
            INSERT_KEY, key_id, organization_id, name, hash_of(key), list(scopes), tier, expires_at
        )
    except asyncpg.ForeignKeyViolationError:
        raise UnknownOrganization(organization_id) from None
    return key, key_id


async def list_keys(connection: Connection, organization_id: str | None = None) -> list[ListedKey]:
    """The organization's keys, oldest first; of all organizations when none is named."""
    rows = await connection.fetch(
        "select * from control.api_keys where $1::uuid is null or organization_id = $1"
        " order by created_at, key_id",
        organization_id,
    )
    return [
        ListedKey(
            key_id=row["key_id"],
            organization_id=str(row["organization_id"]),
            name=row["name"],
            scopes=tuple(row["scopes"]),
            tier=row["tier"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
        )
        for row in rows
    ]


async def key_exists(connection: Connection, key_id: str) -> bool:
    found = "select exists (select from control.api_keys where key_id = $1)"
    return bool(await connection.fetchval(found, key_id))


async def revoke_key(connection: Connection, key_id: str) -> bool:
    """Whether there is such a key; one that was revoked before stays revoked since then."""
    return await connection.fetchval(REVOKE_KEY, key_id) is not None


async def find_key(connection: Connection, key_id: str) -> ApiKey | None:
    row = await connection.fetchrow(FIND_KEY, key_id)
    if row is None:
        return None
    return ApiKey(
        key_id=row["key_id"],
        key_hash=row["key_hash"],
        organization_id=str(row["organization_id"]),
        organization_name=row["organization_name"],
        scopes=tuple(row["scopes"]),
        tier=row["tier"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


async def find_project(
    connection: Connection, organization_id: str, project_id: str
) -> Project | None:
    rows = await connection.fetch(
        "select * from control.projects where organization_id = $1 and project_id = $2",
        organization_id,
        project_id,
    )
    return _projects(rows)[0] if rows else None


async def list_projects(connection: Connection, organization_id: str) -> list[Project]:
    """All projects of the organization, newest first."""
    rows = await connection.fetch(
        "select * from control.projects where organization_id = $1"
        " order by created_at desc, project_id desc",
        organization_id,
    )
    return _projects(rows)


def _projects(rows: Sequence[asyncpg.Record]) -> list[Project]:
    return [
        Project(
            project_id=str(row["project_id"]),
            organization_id=str(row["organization_id"]),
            name=row["name"],
            created_at=row["created_at"],
        )
        for row in rows
    ]
