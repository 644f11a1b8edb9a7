"""`influencerctl grants`."""

from typing import Annotated

import typer

from services.ops.grants import STATEMENTS, grant
from services.ops.kafka_grants import acls
from services.ops.settings import operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    confirm_addition,
    run,
    say,
)


def grants(
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Only print the commands for Kafka's access lists.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Give each service's database role what it needs and no more; safe to repeat.

    Puts row-level security on too. --dry-run prints the SQL. After every `migrate`, run it again.

    Example: influencerctl grants --dry-run
    """
    if kafka:
        return _show_acls(json)
    if not dry_run:
        database_url = operations_settings().database
        confirm_addition("Set the privileges of the influencer_… roles?", yes)
        run(grant(database_url))
    if json:
        answer_json({"granted": not dry_run, "statements": STATEMENTS})
    elif dry_run:
        typer.echo(STATEMENTS)
    else:
        say("granted: a role per service, and the walls between organizations")
    return None


def _show_acls(json: bool) -> None:
    wanted = list(acls(operations_settings().topics))
    if json:
        return answer_json({"acls": [acl._asdict() for acl in wanted]})
    for acl in wanted:
        typer.echo(acl.command(f"User:influencer-{acl.service}"))
    return None
