"""The examples out of a log: one event for each type and version, and for each notable variety."""

from collections.abc import Iterable
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord

from services.core.eventlog.topics import TopicNames

Example = dict[str, Any]


def example(record: ConsumerRecord, topics: TopicNames) -> Example:
    """The record, legible: headers by name, the value as JSON."""
    headers = {name: value.decode() for name, value in record.headers}
    return {
        "title": title(headers["ce_type"], headers["ce_subject"], orjson.loads(record.value)),
        "topic": record.topic.removeprefix(topics.prefix),
        "key": record.key.decode(),
        "headers": headers,
        "value": orjson.loads(record.value),
    }


def title(event_type: str, subject: str, data: dict[str, Any]) -> str:
    """What this one is an example of."""
    if event_type == "InfluencerCreateRequested":
        if "sourceInfluencerId" in data:
            return "A clone"
        return "With an uploaded image" if data["referenceImages"] else "From words alone"
    if event_type == "JobCanceled":
        return "Of content" if subject.startswith("cnt_") else "Of an influencer"
    return _words(event_type)


def chosen(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """The first of each title, by path: `<type>/<version>.json`."""
    by_path: dict[str, dict[str, Example]] = {}
    for found in examples:
        path = found["headers"]["ce_dataschema"].removeprefix("/schemas/events/")
        by_path.setdefault(path, {}).setdefault(found["title"], found)
    return {path: list(titled.values()) for path, titled in sorted(by_path.items())}


def _words(name: str) -> str:
    """`InfluencerReady`: Influencer ready."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.strip().capitalize()
