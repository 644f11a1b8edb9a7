"""`influencerctl org | project | key`: who may use the service."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer

from schemas.ids import Prefix, UlidSource
from services.core import controlplane
from services.core.clock import system_clock, timestamp
from services.core.controlplane import SCOPES, TIERS, ListedKey, Project, Tier
from services.core.postgres import Connection
from services.ops.connections import database
from services.ops.durations import read_duration
from services.ops.faults import CommandFault, OperatorMistake
from services.ops.options import (
    OptionalOrganizationOption,
    OrganizationOption,
    complete_keys,
    identifier,
)
from services.ops.settings import operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    confirm,
    confirm_addition,
    run,
    say,
    show,
)

organizations_application = application("Organizations: the tenants of the service.")
projects_application = application("Projects: what an organization keeps its influencers in.")
keys_application = application("API keys: shown once, kept as a hash, revoked at once.")

Result = TypeVar("Result")


def _complete_scopes(incomplete: str) -> list[str]:
    """Completes the last of several scopes separated by commas."""
    given, _, last = incomplete.rpartition(",")
    start = f"{given}," if given else ""
    return [f"{start}{scope}" for scope in SCOPES if scope.startswith(last)]


def _complete_tier(incomplete: str) -> list[str]:
    return [tier for tier in TIERS if tier.startswith(incomplete)]


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="For people to read.")]


@organizations_application.command("create")
def create_organization(
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Make an organization.

    Example: influencerctl org create "Acme"
    """
    name = _named(name)
    if dry_run:
        return _would_create("organization", {"name": name}, json)
    confirm_addition(f"Create organization {name}?", yes)
    organization_id = _on_database(lambda c: controlplane.create_organization(c, name))
    if json:
        return answer_json({"organizationId": organization_id, "name": name})
    return say(f"organization {organization_id}")


@organizations_application.command("list")
def list_organizations(json: JsonOption = False) -> None:
    """List the organizations, oldest first.

    Example: influencerctl org list --json
    """
    found = [
        {"organizationId": o.organization_id, "name": o.name, "createdAt": timestamp(o.created_at)}
        for o in _on_database(controlplane.list_organizations)
    ]
    if json:
        return answer_json({"organizations": found})
    return show(found, {"organizationId": "Id", "name": "Name", "createdAt": "Created"})


@projects_application.command("create")
def create_project(
    name: NameArgument,
    organization: OrganizationOption,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Make a project in an organization.

    Example: influencerctl project create --organization 0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01 Launch
    """
    name = _named(name)
    if dry_run:
        _on_database(lambda c: controlplane.require_organization(c, organization))
        return _would_create("project", {"name": name, "organizationId": organization}, json)
    confirm_addition(f"Create project {name}?", yes)
    project_id = _on_database(lambda c: controlplane.create_project(c, organization, name))
    if json:
        return answer_json({"projectId": project_id, "organizationId": organization, "name": name})
    return say(f"project {project_id}")


@projects_application.command("list")
def list_projects(organization: OrganizationOption, json: JsonOption = False) -> None:
    """List an organization's projects, newest first.

    Example: influencerctl project list --organization 0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01
    """
    found = [
        {
            "projectId": project.project_id,
            "organizationId": project.organization_id,
            "name": project.name,
            "createdAt": timestamp(project.created_at),
        }
        for project in _on_database(lambda c: _projects_of(c, organization))
    ]
    if json:
        return answer_json({"projects": found})
    return show(found, {"projectId": "Id", "name": "Name", "createdAt": "Created"})


@keys_application.command("create")
def create_key(
    name: NameArgument,
    organization: OrganizationOption,
    scopes: Annotated[
        str,
        typer.Option(
            help="Separated by commas; * is all of them.", autocompletion=_complete_scopes
        ),
    ],
    tier: Annotated[
        str, typer.Option(help=", ".join(TIERS), autocompletion=_complete_tier)
    ] = "standard",
    expires_in: Annotated[
        str | None, typer.Option(metavar="90d", help="Minutes, hours or days: 30m, 12h, 90d.")
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Make an API key and show it, this once.

    Example: influencerctl key create --organization 0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01
    --scopes influencers:write,jobs:read --tier pilot --expires-in 90d backend
    """
    name = _named(name)
    wanted = _at_least_one([scope.strip() for scope in scopes.split(",") if scope.strip()])
    expires_at = _expiry(expires_in)
    chosen_tier = _tier(tier)
    if dry_run:
        _on_database(lambda c: _checked(c, organization, wanted))
        facts = {"name": name, "organizationId": organization, "scopes": wanted, "tier": tier}
        return _would_create("key", facts, json)
    confirm_addition(f"Create key {name} with {', '.join(wanted)}?", yes)
    key, key_id = _on_database(
        lambda c: controlplane.create_key(
            c,
            UlidSource(),
            organization_id=organization,
            name=name,
            scopes=wanted,
            tier=chosen_tier,
            expires_at=expires_at,
        )
    )
    if json:
        return answer_json(
            {
                "apiKey": key,
                "keyId": key_id,
                "organizationId": organization,
                "name": name,
                "scopes": wanted,
                "tier": chosen_tier,
                "expiresAt": timestamp(expires_at) if expires_at else None,
            }
        )
    say(f"key id  {key_id}")
    say(f"key     {key}")
    return say("It is not kept and can't be shown again.")


@keys_application.command("list")
def list_keys(organization: OptionalOrganizationOption = None, json: JsonOption = False) -> None:
    """List the keys, oldest first, without their secrets.

    Example: influencerctl key list --organization 0b9d3f5e-6a51-4c9e-8a1f-3f1f6f1f0a01
    """
    found = [_key_as_json(key) for key in _on_database(lambda c: _keys_of(c, organization))]
    if json:
        return answer_json({"keys": found})
    return show(
        found,
        {
            "keyId": "Key id",
            "name": "Name",
            "organizationId": "Organization",
            "scopes": "Scopes",
            "tier": "Tier",
            "expiresAt": "Expires",
            "revokedAt": "Revoked",
        },
    )


@keys_application.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", autocompletion=complete_keys)],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Revoke a key for good: whoever uses it gets 401 from then on.

    Example: influencerctl key revoke key_01HXZ9G7KMV2QX8Y1S5RJW3B7T
    """
    key_id = identifier(Prefix.KEY, key_id)
    if not dry_run:
        confirm(f"Revoke {key_id} for good?", yes)
    change = controlplane.key_exists if dry_run else controlplane.revoke_key
    if not _on_database(lambda c: change(c, key_id)):
        raise CommandFault(f"there is no key {key_id}")
    if json:
        return answer_json({"keyId": key_id, "dryRun" if dry_run else "revoked": True})
    return say(f"{'would revoke' if dry_run else 'revoked'} {key_id}")


def _would_create(what: str, facts: Mapping[str, object], json: bool) -> None:
    if json:
        return answer_json({"dryRun": True, **facts})
    return say(f"would create {what} {facts['name']}")


async def _projects_of(connection: Connection, organization_id: str) -> list[Project]:
    await controlplane.require_organization(connection, organization_id)
    return await controlplane.list_projects(connection, organization_id)


async def _checked(connection: Connection, organization_id: str, scopes: Sequence[str]) -> None:
    controlplane.require_scopes(scopes)
    await controlplane.require_organization(connection, organization_id)


async def _keys_of(connection: Connection, organization_id: str | None) -> list[ListedKey]:
    if organization_id is not None:
        await controlplane.require_organization(connection, organization_id)
    return await controlplane.list_keys(connection, organization_id)


def _on_database(action: Callable[[Connection], Awaitable[Result]]) -> Result:
    database_url = operations_settings().database

    async def act() -> Result:
        try:
            async with database(database_url) as connection:
                return await action(connection)
        except controlplane.UnknownOrganization as fault:
            raise CommandFault(str(fault)) from None
        except controlplane.UnknownScope as fault:
            raise OperatorMistake(str(fault)) from None

    return run(act())


def _named(name: str) -> str:
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= 128 or not trimmed.isprintable():
        raise OperatorMistake("a name has 1 to 128 printable characters")
    return trimmed


def _at_least_one(scopes: list[str]) -> list[str]:
    if not scopes:
        raise OperatorMistake("a key needs at least one scope")
    return scopes


def _tier(text: str) -> Tier:
    for tier in TIERS:
        if tier == text:
            return tier
    raise OperatorMistake(f"there is no tier {text!r}; the tiers are {', '.join(TIERS)}")


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    return system_clock() + read_duration(text)


def _key_as_json(key: ListedKey) -> dict[str, object]:
    return {
        "keyId": key.key_id,
        "organizationId": key.organization_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "tier": key.tier,
        "createdAt": timestamp(key.created_at),
        "expiresAt": timestamp(key.expires_at) if key.expires_at else None,
        "revokedAt": timestamp(key.revoked_at) if key.revoked_at else None,
    }
