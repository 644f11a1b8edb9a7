"""`influencerctl topics`."""

from typing import Annotated

import typer

from services.core.eventlog.topics import create_topics, topics
from services.ops.connections import kafka_admin
from services.ops.faults import ExitStatus
from services.ops.settings import OperationsSettings, operations_settings
from services.ops.terminal import (
    DryRunOption,
    JsonOption,
    YesOption,
    answer_json,
    application,
    confirm_addition,
    run,
    say,
    show,
)
from services.ops.topic_report import TopicReport, report_topics

topics_application = application("The Kafka topics of the service.")

ShardsOption = Annotated[
    int, typer.Option("--shards", min=1, max=256, help="Into how many shards the relay divides.")
]


@topics_application.command("create")
def create(
    shards: ShardsOption = 1,
    replication_factor: Annotated[int, typer.Option(min=1, max=16)] = 1,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Create the topics that are missing; the others stay as they are.

    Example: influencerctl topics create --replication-factor 3
    """
    settings = operations_settings()
    missing = [r.name for r in run(_reports(settings, shards)) if r.partitions == 0]
    if missing and not dry_run:
        confirm_addition(f"Create {', '.join(missing)}?", yes)
    if dry_run:
        created = {topic.name: topic.name in missing for topic in topics(settings.topics, shards)}
    else:
        created = run(_create(settings, shards, replication_factor))
    if json:
        told = [{"name": name, "created": was_missing} for name, was_missing in created.items()]
        return answer_json({"dryRun": dry_run, "topics": told})
    for name, was_missing in created.items():
        say(f"{_word(was_missing, dry_run)} {name}")
    return None


def _word(was_missing: bool, dry_run: bool) -> str:
    if not was_missing:
        return "exists "
    return "missing" if dry_run else "created"


async def _create(
    settings: OperationsSettings, shards: int, replication_factor: int
) -> dict[str, bool]:
    return await create_topics(
        settings.kafka, settings.topics, shard_count=shards, replication_factor=replication_factor
    )


@topics_application.command("list")
def list_topics(shards: ShardsOption = 1, json: JsonOption = False) -> None:
    """List the topics and what is off in their configuration; status 1 if anything is.

    Example: influencerctl topics list
    """
    reports = run(_reports(operations_settings(), shards))
    if json:
        answer_json({"topics": [_as_json(report) for report in reports]})
    else:
        show(
            [_as_json(report) for report in reports],
            {
                "name": "Topic",
                "partitions": "Partitions",
                "replicationFactor": "Replicas",
                "faults": "What is off",
            },
        )
    if any(report.faults for report in reports):
        raise typer.Exit(int(ExitStatus.FOUND_SOMETHING_WRONG))


async def _reports(settings: OperationsSettings, shards: int) -> list[TopicReport]:
    async with kafka_admin(settings.kafka) as client:
        return await report_topics(client, settings.topics, shards)


def _as_json(report: TopicReport) -> dict[str, object]:
    return {
        "name": report.name,
        "partitions": report.partitions,
        "replicationFactor": report.replication_factor,
        "configuration": report.configuration,
        "faults": list(report.faults),
    }
