"""`influencerctl outbox | relay`: from Postgres to Kafka."""

from typing import Annotated

import typer
from rich.text import Text

from services.ops.connections import DEFAULT_PATIENCE, database, patience
from services.ops.faults import ExitStatus
from services.ops.relay_report import (
    Contender,
    ShardOutbox,
    ShardRelayReport,
    outbox_by_shard,
    report_relay,
)
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    JsonOption,
    TimeoutOption,
    answer_json,
    application,
    run,
    say,
    show,
)

outbox_application = application("The outbox: events that are durable but not on Kafka yet.")
relay_application = application("The relay: takes events from the outbox to Kafka, exactly once.")


@outbox_application.command("status")
def outbox_status(
    max_age: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Status 1 when one waits longer.")
    ] = 30.0,
    most: Annotated[
        int | None, typer.Option("--max", min=0, help="Status 1 when more events wait.")
    ] = None,
    timeout: TimeoutOption = DEFAULT_PATIENCE,
    json: JsonOption = False,
) -> None:
    """Say what waits in the outbox, shard by shard, and since when.

    Example: influencerctl outbox status --max-age 10 || alert
    """
    shards = run(_outbox(operations_settings(), timeout))
    depth = sum(shard.depth for shard in shards)
    oldest = max(shard.age_seconds for shard in shards)
    if json:
        told = [shard.as_json() for shard in shards]
        answer_json({"depth": depth, "ageSeconds": round(oldest, 3), "shards": told})
    else:
        show(
            [{**shard.as_json(), "age": f"{shard.age_seconds:.1f} s"} for shard in shards],
            {"shard": "Shard", "depth": "Waiting", "age": "Oldest", "oldestEventId": "Event id"},
        )
    if oldest > max_age or (most is not None and depth > most):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


@relay_application.command("status")
def relay_status(timeout: TimeoutOption = DEFAULT_PATIENCE, json: JsonOption = False) -> None:
    """Say who leads each shard, its fencing epochs and its last round; status 1 if nobody does.

    Example: influencerctl relay status --json
    """
    shards = run(_relay(operations_settings(), timeout))
    if json:
        answer_json({"shards": [shard.as_json() for shard in shards]})
    elif shards:
        _show_relay(shards)
    else:
        say("no relay has run yet")
    if not shards or any(shard.leader is None for shard in shards):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


async def _outbox(settings: OperationsSettings, seconds: float) -> list[ShardOutbox]:
    async with patience(seconds), database(settings.database) as connection:
        return await outbox_by_shard(connection)


async def _relay(settings: OperationsSettings, seconds: float) -> list[ShardRelayReport]:
    async with patience(seconds):
        return await report_relay(settings)


def _show_relay(shards: list[ShardRelayReport]) -> None:
    show(
        [
            {
                "shard": shard.shard,
                "leader": _leader(shard.leader),
                "waiting": [contender.process for contender in shard.waiting] or None,
                "last": _last_round(shard),
            }
            for shard in shards
        ],
        {"shard": "Shard", "leader": "Leader", "waiting": "Waiting", "last": "Last round"},
    )
    show(
        [described.as_json() for shard in shards for described in shard.transactional_ids],
        {
            "transactionalId": "Transactional id",
            "producerId": "Producer id",
            "epoch": "Fencing epoch",
            "state": "Transaction",
        },
    )


def _leader(leader: Contender | None) -> Text:
    if leader is None:
        return Text("nobody", "red")
    where = f" at {leader.address}" if leader.address else ""
    return Text(f"{leader.process}{where}, backend {leader.backend_pid}", "green")


def _last_round(shard: ShardRelayReport) -> str:
    count = len(shard.cursor.event_ids)
    return f"{count} events, the last of {shard.last_event_made}" if count else "none yet"
