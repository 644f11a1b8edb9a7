"""The AsyncAPI 3 document of the events, made from the models.

(https://www.asyncapi.com/docs/reference/specification/v3.0.0, with Kafka bindings 0.5.0.)
`python -m schemas.generate` writes it as `schemas/json/asyncapi.yaml`.
"""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import yaml

from schemas.base import TIMESTAMP_PATTERN
from schemas.channels import CHANNELS, EVENT_PARTITIONS, RETENTION, Channel
from schemas.events import EVENT_TYPES, EventData, dataschema
from schemas.examples import Example, examples_of
from schemas.ids import Prefix, identifier_pattern
from schemas.json_schemas import schema_of

Document = dict[str, Any]

BINDING = {"bindingVersion": "0.5.0"}
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

DESCRIPTION = """\
What happens to AI influencers, as one ordered log of events: to build on without ever calling
REST. Events are kept for ever; a new subscriber reads from offset 0.

**Promises**

1. Read with `isolation.level=read_committed` and each event is there exactly once; per key they
   are in the order of `ce_sequence`, which starts at 1 and has no gap. If the sequence is the last
   one's plus one, you missed nothing.
2. An event is on the log if and only if the client that asked for it was, or could have been,
   answered 2xx.
3. The schema of a type only gains optional fields. A breaking change is a new version: the header
   `ce_dataschema` names it, and old versions stay on the log, and readable, for ever.
4. Unknown types, versions and fields will come. Ignore them, and unknown headers too.
5. There are no secrets and no image bytes in events; images are named by asset id and URL. A URL
   takes an API key.

**Jobs.** Exactly one of `InfluencerReady`, `InfluencerFailed`, `JobCanceled` ends a job of an
influencer, one of `ContentGenerated`, `ContentFailed`, `JobCanceled` one of content; it is the
last event with that `jobId`.

**Ids** are 128 bits: a prefix and 26 characters of Crockford base32. An influencer id belongs to
its organization; the key of a record is both.
"""

TOPIC_DESCRIPTIONS = {
    "influencerEvents": (
        "Everything about influencers, their jobs included. All events of one influencer are on "
        "one key, so in one order."
    ),
    "mediaEvents": "Files that clients have uploaded.",
    "contentEvents": (
        "Pictures that are wanted of an influencer, each a stream of its own with one job. The "
        "influencer's own events are on another topic: the order between the two is not told."
    ),
}
TITLES = {
    "influencerEvents": "Influencers",
    "mediaEvents": "Media assets",
    "contentEvents": "Content",
}


def asyncapi() -> Document:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Influencer events",
            "version": version("influencer-service"),
            "description": DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {f"receive{_capitalized(c.name)}": _operation(c) for c in CHANNELS},
        "components": {
            "messages": {
                _message_name(model, channel): _message(model, channel)
                for channel in CHANNELS
                for model in _versions(channel)
            },
            "schemas": {"Headers": headers_schema(), **_schemas(EVENT_TYPES.values())},
        },
    }


def as_yaml(document: Document) -> str:
    """Long texts as blocks, keys in the order they are in."""
    return yaml.dump(
        document,
        Dumper=_LegibleDumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def headers_schema() -> Document:
    """What the headers of every event are: CloudEvents 1.0 attributes, and the trace.

    (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md)
    """
    properties: dict[str, Document] = {
        "ce_specversion": {"const": "1.0", "description": "Of CloudEvents."},
        "ce_id": _text(identifier_pattern(Prefix.EVENT), "Unique for ever."),
        "ce_source": _text("^/services/[a-z]+$", "The service it happened in."),
        "ce_type": _text("^[A-Z][A-Za-z]+$", "What happened."),
        "ce_subject": _text(
            identifier_pattern("[a-z]{3}"), "The stream it happened to: `inf_`, `ast_` or `cnt_`."
        ),
        "ce_time": _text(TIMESTAMP_PATTERN, "RFC 3339, UTC, milliseconds; never falls in a stream.")
        | {"format": "date-time"},
        "ce_dataschema": _text(
            r"^/schemas/events/[A-Z][A-Za-z]+/[1-9][0-9]*\.json$",
            "The JSON Schema of the value: type and version.",
        ),
        "ce_sequence": _text(
            "^[1-9][0-9]*$", "Place in the stream, decimal: from 1, without a gap."
        ),
        "ce_organizationid": _text(f"^{UUID}$", "Whose it is.") | {"format": "uuid"},
        "ce_projectid": _text(f"^{UUID}$", "The organization's project.") | {"format": "uuid"},
        "ce_correlationid": _identifier(
            Prefix.JOB,
            Prefix.REQUEST,
            description="The job; the request, where there is no job.",
        ),
        "ce_causationid": _identifier(
            Prefix.EVENT, Prefix.REQUEST, description="The event or request that led to it."
        ),
        "traceparent": _text(
            "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "W3C trace context of the request that started it all.",
        ),
        "content-type": {"const": "application/json"},
    }
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in Kafka's binary mode; all in UTF-8.",
        "properties": properties,
        "required": list(properties),
    }


def key_pattern(subject: Prefix) -> str:
    """`<organization>/<id>`."""
    return f"^{UUID}/{identifier_pattern(subject)[1:]}"


def _channel(channel: Channel) -> Document:
    messages = {
        _message_name(model, channel): _reference("messages", _message_name(model, channel))
        for model in _versions(channel)
    }
    configuration = {
        "cleanup.policy": [RETENTION["cleanup.policy"]],
        "retention.ms": int(RETENTION["retention.ms"]),
        "retention.bytes": int(RETENTION["retention.bytes"]),
    }
    return {
        "address": channel.topic,
        "title": TITLES[channel.name],
        "description": TOPIC_DESCRIPTIONS[channel.name],
        "messages": messages,
        "bindings": {
            "kafka": {
                "topic": channel.topic,
                "partitions": EVENT_PARTITIONS,
                "topicConfiguration": configuration,
                **BINDING,
            }
        },
    }


def _operation(channel: Channel) -> Document:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": f"Read {TITLES[channel.name].lower()} with `isolation.level=read_committed`.",
    }


def _message(model: type[EventData], channel: Channel) -> Document:
    description = (model.__doc__ or "").strip()
    return {
        "name": model.event_type,
        "title": f"{model.event_type}, version {model.version}",
        "summary": description.partition("\n")[0],
        "contentType": "application/json",
        "headers": {
            "allOf": [
                _reference("schemas", "Headers"),
                {
                    "properties": {
                        "ce_type": {"const": model.event_type},
                        "ce_dataschema": {"const": dataschema(model.event_type, model.version)},
                        "ce_subject": {"pattern": identifier_pattern(channel.subject)},
                    }
                },
            ]
        },
        "payload": _reference("schemas", _schema_name(model)),
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {"key": {"type": "string", "pattern": key_pattern(channel.subject)}, **BINDING}
        },
        "examples": [
            _example(example)
            for example in examples_of(model.event_type, model.version)
            if example.topic == channel.topic
        ],
    }


def _example(example: Example) -> Document:
    return {"summary": example.title, "headers": example.headers, "payload": example.value}


def _versions(channel: Channel) -> list[type[EventData]]:
    """Every version, newest first, of the types that are on the channel."""
    newest_first = sorted(EVENT_TYPES.values(), key=lambda model: -model.version)
    return [
        model
        for newest in channel.models
        for model in newest_first
        if model.event_type == newest.event_type
    ]


def _schemas(models: Iterable[type[EventData]]) -> dict[str, Document]:
    """The data of `models`, and what several of them share once; by name."""
    schemas: dict[str, Document] = {}
    for model in models:
        schema = _with_shared_references(schema_of(model))
        shared = schema.pop("$defs", {})
        for keyword in ("$schema", "$id", "title"):
            schema.pop(keyword)
        for name, part in {_schema_name(model): schema, **shared}.items():
            part.pop("title", None)
            if schemas.setdefault(name, part) != part:
                raise ValueError(f"Two different schemas are called {name}")
    return schemas


def _with_shared_references(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _with_shared_references(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_with_shared_references(part) for part in schema]
    return schema


def _message_name(model: type[EventData], channel: Channel) -> str:
    """A type that is on several channels has a message on each: their subjects differ."""
    everywhere = [c for c in CHANNELS if model.event_type in {m.event_type for m in c.models}]
    name = _schema_name(model)
    return name if everywhere[0] is channel else f"{name}On{_capitalized(channel.name)}"


def _schema_name(model: type[EventData]) -> str:
    return f"{model.event_type}V{model.version}"


def _reference(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def _text(pattern: str, description: str) -> Document:
    return {"type": "string", "pattern": pattern, "description": description}


def _identifier(*prefixes: Prefix, description: str) -> Document:
    return _text(identifier_pattern(f"({'|'.join(prefixes)})"), description)


def _capitalized(name: str) -> str:
    return name[0].upper() + name[1:]


class _LegibleDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_LegibleDumper.add_representer(str, _represent_text)
