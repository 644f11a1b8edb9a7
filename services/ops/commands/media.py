"""`influencerctl media`: the bytes behind the events."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from services.core.clock import system_clock, timestamp
from services.core.errors import DependencyUnavailable
from services.core.storage.errors import StorageUnavailable
from services.core.storage.store import ObjectInfo
from services.ops.connections import database
from services.ops.durations import read_duration
from services.ops.faults import OperatorMistake
from services.ops.media_sweep import Found, Swept, find_unnamed
from services.ops.media_sweep import sweep as sweep_store
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    confirm,
    run,
    say,
    show,
)

media_application = application("The object store: pictures, their thumbnails, uploads.")

LEAST_AGE = timedelta(hours=1)
SHOWN = 20


@media_application.command("sweep")
def sweep(
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Leave what was put since, 1h at least.")
    ] = "24h",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Delete objects that no event names: of renders that were killed, of uploads given up.

    The services may go on. Reads the whole log, the streams, the outbox and the media assets, and
    then lists the store (MEDIA_STORE_URL). Interrupted, it may simply be called again.

    Example: influencerctl media sweep --older-than 7d --dry-run
    """
    age = read_duration(older_than)
    if age < LEAST_AGE:
        raise OperatorMistake("what is younger than 1h may belong to an event that is on its way")
    found, swept = run(_swept(operations_settings(), system_clock() - age, yes, dry_run))
    if json:
        return answer_json({"dryRun": dry_run, **_as_json(found, swept)})
    return _say(found, swept)


async def _swept(
    settings: OperationsSettings, before: datetime, yes: bool, dry_run: bool
) -> tuple[Found, Swept | None]:
    try:
        store = settings.media_store
        async with database(settings.database) as connection:
            found = await find_unnamed(settings, connection, store, before)
            if dry_run or not found.unnamed:
                return found, None
            confirm(f"Delete {_amount(found)} that no event names?", yes)
            return found, await sweep_store(connection, store, found.unnamed, before)
    except StorageUnavailable as fault:
        raise DependencyUnavailable("object store", str(fault)) from fault


def _as_json(found: Found, swept: Swept | None) -> dict[str, Any]:
    return {
        "named": found.named,
        "recent": found.recent,
        "foreign": found.foreign,
        "unnamed": [_row(one) for one in found.unnamed],
        "deleted": swept.deleted if swept else 0,
        "deletedBytes": swept.size_bytes if swept else 0,
        "spared": swept.spared if swept else 0,
    }


def _say(found: Found, swept: Swept | None) -> None:
    say(f"{found.named:,} objects are named, {found.recent:,} are recent and not named yet")
    if found.foreign:
        say(f"{found.foreign:,} are none of ours and left alone")
    if swept is None:
        say(f"{_amount(found)} are named by no event")
        if found.unnamed:
            columns = {"key": "Object", "sizeBytes": "Bytes", "lastModified": "Put"}
            show([_row(one) for one in found.unnamed[:SHOWN]], columns, whole=("key",))
        return
    say(f"deleted {swept.deleted:,} objects, {swept.size_bytes:,} bytes")
    if swept.spared:
        say(f"spared {swept.spared:,} that were put or named again meanwhile")


def _row(one: ObjectInfo) -> dict[str, Any]:
    return {
        "key": one.key,
        "sizeBytes": one.size_bytes,
        "lastModified": timestamp(one.last_modified),
    }


def _amount(found: Found) -> str:
    return f"{len(found.unnamed):,} objects, {found.size_bytes:,} bytes,"
