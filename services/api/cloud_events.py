"""Events as they are on the log, as CloudEvents 1.0 in the JSON format.

(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md)
The attributes are those of the log's headers, as text; `data` is the log's value byte for byte.
"""

from typing import Any

import asyncpg
import orjson

from schemas.events import dataschema
from services.core.clock import timestamp

_ATTRIBUTE = "ce_"
_REQUIRED = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "dataschema",
        "sequence",
        "organizationid",
        "projectid",
        "correlationid",
        "causationid",
    }
)


def recorded_event(organization_id: str, row: asyncpg.Record) -> dict[str, Any]:
    """The event of a row of `read_model.events`."""
    event = {
        "specversion": "1.0",
        "id": row["event_id"],
        "source": row["source"],
        "type": row["type"],
        "subject": row["stream_id"],
        "time": timestamp(row["occurred_at"]),
        "datacontenttype": "application/json",
        "dataschema": dataschema(row["type"], row["version"]),
        "sequence": str(row["sequence"]),
        "organizationid": organization_id,
        "projectid": str(row["project_id"]),
        "correlationid": row["correlation_id"],
        "causationid": row["causation_id"],
    }
    if row["traceparent"]:
        event["traceparent"] = row["traceparent"]
    return {**event, "data": orjson.Fragment(row["data"])}


def quarantined_event(organization_id: str, row: asyncpg.Record) -> dict[str, Any] | None:
    """The event of a record in quarantine, `headers` and `value`; None for one that is no event
    of that organization."""
    headers = {
        name: (value or "").encode("latin-1").decode(errors="replace")
        for name, value in orjson.loads(row["headers"])
    }
    event: dict[str, Any] = {
        name.removeprefix(_ATTRIBUTE): value
        for name, value in headers.items()
        if name.startswith(_ATTRIBUTE)
    }
    data = _json_object(row["value"])
    if data is None or not event.keys() >= _REQUIRED:
        return None
    if event["organizationid"] != organization_id:
        return None
    event["datacontenttype"] = "application/json"
    if headers.get("traceparent"):
        event["traceparent"] = headers["traceparent"]
    return {**event, "data": data}


def _json_object(value: bytes | None) -> orjson.Fragment | None:
    try:
        is_object = isinstance(orjson.loads(value or b""), dict)
    except orjson.JSONDecodeError:
        return None
    return orjson.Fragment(value or b"") if is_object else None
