"""The AsyncAPI document is valid, says what is true of the log, and shows an example of all."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft7Validator

from schemas.asyncapi import asyncapi, headers_schema, key_pattern
from schemas.channels import CHANNELS
from schemas.events import EVENT_TYPES, Event, headers_of
from schemas.examples import examples_of
from schemas.generate import FOLDER
from services.core.domain.aggregates import aggregate_of
from services.core.eventlog.topics import TopicNames, topics
from tests.unit.schemas.strategies import events

DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
SPECIFICATION = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text("utf-8"))
MESSAGES: dict[str, dict[str, Any]] = DOCUMENT["components"]["messages"]


def resolved(part: Any) -> Any:
    """`part` with every reference replaced by what it refers to."""
    if isinstance(part, list):
        return [resolved(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        found: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolved(found)
    return {name: resolved(item) for name, item in part.items()}


def test_the_document_is_valid_asyncapi_3() -> None:
    faults = [
        f"{'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}"
        for fault in Draft7Validator(SPECIFICATION).iter_errors(DOCUMENT)
    ]
    assert faults == []


def test_the_specification_is_not_content_with_anything() -> None:
    broken = {**DOCUMENT, "operations": {"receive": {"action": "swallow"}}}
    assert not Draft7Validator(SPECIFICATION).is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    assert resolved(DOCUMENT)


def test_yaml_says_what_the_models_say() -> None:
    assert asyncapi() == DOCUMENT


def test_the_channels_are_the_topics_as_they_are_made() -> None:
    made = {t.name: t for t in topics(TopicNames(), 1) if t.name in TopicNames().events}
    described = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    assert described.keys() == made.keys()
    for name, channel in described.items():
        binding = channel["bindings"]["kafka"]
        assert binding["partitions"] == made[name].partitions
        assert {
            setting: value[0] if isinstance(value, list) else str(value)
            for setting, value in binding["topicConfiguration"].items()
        } == made[name].configuration


def test_every_channel_has_a_subscriber() -> None:
    read = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert read == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


def test_every_type_and_version_is_a_message_of_its_channel() -> None:
    described = {
        message["headers"]["allOf"][1]["properties"]["ce_dataschema"]["const"]
        for channel in DOCUMENT["channels"].values()
        for message in resolved(channel["messages"]).values()
    }
    assert described == {f"/schemas/events/{name}/{v}.json" for name, v in EVENT_TYPES}


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_a_channel_is_where_the_append_puts_its_streams(channel: Any) -> None:
    assert aggregate_of(f"{channel.subject}_").topic == channel.topic


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_explained_and_exemplified(name: str) -> None:
    message = MESSAGES[name]
    assert message["summary"]
    assert message["examples"]
    headers, payload = (Draft7Validator(resolved(message[p])) for p in ("headers", "payload"))
    for example in message["examples"]:
        headers.validate(example["headers"])
        payload.validate(example["payload"])


@pytest.mark.parametrize(("name", "version"), EVENT_TYPES)
def test_the_key_of_an_example_is_as_described(name: str, version: int) -> None:
    patterns = {channel.topic: key_pattern(channel.subject) for channel in CHANNELS}
    for example in examples_of(name, version):
        key = {"type": "string", "pattern": patterns[example.topic]}
        Draft7Validator(key).validate(example.key)


def test_a_message_takes_no_other_types_headers() -> None:
    of_ready = MESSAGES["InfluencerReadyV1"]["examples"][0]["headers"]
    of_failed = Draft7Validator(resolved(MESSAGES["InfluencerFailedV1"]["headers"]))
    assert not of_failed.is_valid(of_ready)


@settings(deadline=None, max_examples=100)
@given(event=events.filter(lambda event: bool(event.traceparent)))
def test_the_headers_of_any_event_are_as_described(event: Event) -> None:
    headers = headers_of(event)
    schema = headers_schema()
    Draft7Validator(schema).validate(headers)
    assert schema["properties"].keys() == headers.keys()
    for name in headers:
        assert not Draft7Validator(schema).is_valid({**headers, name: "?"})
