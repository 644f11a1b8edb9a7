"""The OpenAPI document: the table of routes, each with its description."""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel
from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)
from pydantic_core.core_schema import WithDefaultSchema

from schemas.faults import Instance
from services.api.openapi import account, content, events, influencers, jobs, media
from services.api.openapi.faults import fault_components, fault_models, fault_responses
from services.api.openapi.files import FILES
from services.api.openapi.parameters import HEADERS, OF_EVERY_ANSWER, PARAMETERS
from services.api.openapi.vocabulary import (
    EVENT_STREAM,
    JSON,
    Operation,
    Reply,
    RequestBody,
)
from services.api.pagination import MAXIMUM_LIMIT

VERSION = "1.0.0"
REFERENCES = "#/components/schemas/{model}"
OPERATIONS: Mapping[tuple[str, str], Operation] = MappingProxyType(
    {
        **influencers.OPERATIONS,
        **jobs.OPERATIONS,
        **media.OPERATIONS,
        **events.OPERATIONS,
        **content.OPERATIONS,
        **account.OPERATIONS,
    }
)
_TAGS = {
    "Account": "Who is calling, and the organization's projects.",
    "Content": "Pictures of an influencer, made for a brief.",
    "Influencers": "Influencers, their images and their history.",
    "Jobs": "What takes longer than a request.",
    "Media": "Files that clients upload.",
    "Events": "Everything that happens in the organization.",
}
_DESCRIPTION = """\
Influencers are described, rendered and changed here; whatever takes longer than a request is a job.

- **Ids** are 128 bits. They are answered as a prefix and a ULID (`inf_01HX…`), and accepted so, as
  a bare ULID, or as a UUID, in any letter case.
- **Errors** all have one body, with a `code` to act on and a `requestId` to tell us. With
  `Accept: application/problem+json` they come as RFC 9457 has them. What is wrong with a request
  is `VALIDATION`, with status 422; where HTTP has a status of its own it is that: 400 for bytes
  that are no HTTP, 416 for a range that is none, 417 for an expectation that nobody meets. All
  faults of a body come at once.
- **Keys** go into `X-Api-Key`; `GET /v1/whoami` tells what one allows, `GET /v1/projects` which
  projects there are. Every answer to a key tells what is left of its limits.
- **Repeating** is safe: give writes an `Idempotency-Key`.
- **Waiting**: follow `locationUrl`, with `Prefer: wait=25` or as an event stream.
- **Photos** to make an influencer from are uploaded first: small ones inline as base64, others by
  `presign`, a PUT and `finalize`. Both give an `assetId` for `referenceImages`.
"""
_SECURITY: list[dict[str, list[str]]] = [{"apiKey": []}, {"bearer": []}]
_CLASSES = {"read": "read", "write": "write", "long": "long-running"}


# Of no type: some tools hold the text to it, others each event.
_STREAM = {"description": "Server-sent events."}
_QUERY_FAULTS = {
    "limit": Instance(
        "Invalid query.",
        {"fieldErrors": {"limit": [f"Must be a whole number from 1 to {MAXIMUM_LIMIT}"]}},
    ),
    "cursor": Instance(
        "Invalid query.", {"fieldErrors": {"cursor": ["Not a cursor of this list and filter"]}}
    ),
    "minSequence": Instance(
        "Invalid query.", {"fieldErrors": {"minSequence": ["Must be a whole number"]}}
    ),
    "afterEvent": Instance(
        "Invalid query.", {"fieldErrors": {"after": ["Not an event of this job's influencer"]}}
    ),
    "after": Instance(
        "Invalid query.", {"fieldErrors": {"after": ["Not a cursor of this organization's events"]}}
    ),
}
_BODY_FAULTS = {
    "a field": Instance("Invalid body.", {"fieldErrors": {"force": ["Unknown field"]}}),
    "a key": Instance(
        "Invalid header.",
        {"fieldErrors": {"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters"]}},
    ),
}


class Route(Protocol):
    """What the table of routes says of a route."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def limit(self) -> Literal["read", "write", "long"]: ...


class _FileRoute(NamedTuple):
    """Of the store's own paths, which are no part of the table."""

    method: str
    path: str
    scope: None = None
    limit: Literal["read"] = "read"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Raises KeyError for a route without a description."""
    paths: dict[str, Any] = {}
    described = [(route, OPERATIONS[route.method, route.path]) for route in routes]
    described += [(_FileRoute(*place), operation) for place, operation in FILES.items()]
    for route, operation in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, operation)
    content = {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": "/", "description": "Where this document is."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": _SECURITY,
        "paths": paths,
        "components": _components(routes),
    }
    resolved: dict[str, Any] = _with_headers(content)
    _drop_unused(resolved)
    return resolved


def _info() -> dict[str, Any]:
    return {
        "title": "Influencer service",
        "version": VERSION,
        "summary": "Virtual influencers: described once, rendered whenever.",
        "description": _DESCRIPTION,
        "contact": {"name": "The maintainers"},
        "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    }


def _operation(route: Route, operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description}\n\n{operation.needs or _needs(route)}",
        "parameters": [
            {"$ref": f"#/components/parameters/{name}"} for name in _parameters_of(route, operation)
        ],
    }
    if operation.body:
        content["requestBody"] = _request_body(operation.body)
    if operation.takes:
        content["requestBody"] = {
            "description": "The bytes.",
            "required": True,
            "content": _bytes(operation.takes),
        }
    if operation.needs:
        needs_key = "UNAUTHENTICATED" in operation.faults
        content["security"] = [{}, *_SECURITY] if needs_key else [{}]
    replies = {str(reply.status): _response(reply) for reply in operation.replies}
    examples = {**_usual_examples(route, operation), **operation.examples_of_faults}
    faults = fault_responses(_codes(route, operation), examples)
    content["responses"] = dict(sorted({**replies, **faults}.items()))
    return content


def _needs(route: Route) -> str:
    scope = f"Needs the scope `{route.scope}`" if route.scope else "Any key will do"
    return f"{scope}; counts as {_CLASSES[route.limit]}."


def _parameters_of(route: Route, operation: Operation) -> list[str]:
    in_path = re.findall(r"{(\w+)}", route.path)
    repeatable = route.method != "GET" and operation.needs is None
    idempotency = ["Idempotency-Key"] if repeatable else []
    return [*in_path, *operation.parameters, *idempotency]


def _codes(route: Route, operation: Operation) -> set[str]:
    if operation.needs:
        common = {"NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL", "UNAVAILABLE"}
        return common | set(operation.faults)
    codes = {"UNAUTHENTICATED", "METHOD_NOT_ALLOWED", "RATE_LIMITED", "INTERNAL", "UNAVAILABLE"}
    if route.scope:
        codes.add("FORBIDDEN_SCOPE")
    if "{" in route.path:
        codes.add("NOT_FOUND")
    if route.method != "GET":
        codes |= {"IDEMPOTENCY_CONFLICT", "VALIDATION"}
    if operation.body:
        codes |= {"PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"}
    if any(PARAMETERS[name]["in"] == "query" for name in operation.parameters):
        codes.add("VALIDATION")
    return codes | set(operation.faults)


def _usual_examples(route: Route, operation: Operation) -> Mapping[str, Mapping[str, Instance]]:
    """What is wrong with a request without a body of its own to be wrong."""
    instances = {
        name: _QUERY_FAULTS[name] for name in operation.parameters if name in _QUERY_FAULTS
    }
    if route.method != "GET" and (operation.body is None or not operation.body.required):
        instances = {**_BODY_FAULTS, **instances}
    return {"VALIDATION": instances} if instances else {}


def _bytes(media_types: Sequence[str]) -> dict[str, Any]:
    return {name: {"schema": {"contentMediaType": name}} for name in media_types}


def _request_body(body: RequestBody) -> dict[str, Any]:
    return {
        "description": inspect.cleandoc(body.model.__doc__ or ""),
        "required": body.required,
        "content": {JSON: {"schema": _reference(body.model), "examples": _values(body.examples)}},
    }


def _response(reply: Reply) -> dict[str, Any]:
    content: dict[str, Any] = {
        "description": reply.description,
        "headers": [*reply.headers, *OF_EVERY_ANSWER],
    }
    if reply.examples:
        schema = _reference(reply.model) if reply.model else dict(_STREAM)
        content["content"] = {
            reply.media_type: {"schema": schema, "examples": _values(reply.examples)}
        }
    if reply.files:
        content["content"] = _bytes(reply.files)
    if reply.stream:
        content["content"][EVENT_STREAM] = {
            "schema": dict(_STREAM),
            "examples": _values({"the opening": reply.stream}),
        }
    if reply.links:
        content["links"] = {
            name: {"operationId": link.operation_id, "parameters": dict(link.parameters)}
            for name, link in reply.links.items()
        }
    return content


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCES.format(model=model.__name__)}


def _values(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.replace(" ", "-"): {"summary": name, "value": value}
        for name, value in examples.items()
    }


def _drop_unused(content: dict[str, Any]) -> None:
    """What many operations may have, and none of these has."""
    references = re.compile('"#/components/([a-zA-Z]+)/([^"]+)"')
    before = 0
    while before != (before := len(json.dumps(content))):
        used = set(references.findall(json.dumps(content)))
        for kind in ("responses", "headers", "schemas", "parameters"):
            components = content["components"][kind]
            for name in [name for name in components if (kind, name) not in used]:
                del components[name]


def _components(routes: Sequence[Route]) -> dict[str, Any]:
    used = [OPERATIONS[route.method, route.path] for route in routes]
    return {
        "securitySchemes": {
            "apiKey": {
                "type": "apiKey",
                "in": "header",
                "name": "X-Api-Key",
                "description": "A key of the organization. Decides where both are sent.",
            },
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The same key as a bearer token.",
            },
        },
        "parameters": {name: dict(parameter) for name, parameter in PARAMETERS.items()},
        "headers": {
            key: {name: value for name, value in header.items() if value is not False}
            for key, (_, header) in HEADERS.items()
        },
        "responses": fault_components(),
        "schemas": _schemas(used),
    }


class _Schemas(GenerateJsonSchema):
    """Without titles made from names, and without null as a default: absent is absent."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        found = super().generate_inner(schema)
        if found.get("type") == "object":
            found.pop("title", None)
        return found


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for operation in operations:
        if operation.body:
            modes.append((operation.body.model, "validation"))
        modes.extend((reply.model, "serialization") for reply in operation.replies if reply.model)
    modes.extend((model, "serialization") for model in fault_models().values())
    _, content = models_json_schema(
        list(dict.fromkeys(modes)), ref_template=REFERENCES, schema_generator=_Schemas
    )
    schemas: dict[str, Any] = content["$defs"]
    return dict(sorted(schemas.items()))


def _with_headers(value: Any) -> Any:
    """Lists of header names, as responses have them so far, become references."""
    if isinstance(value, list):
        return [_with_headers(item) for item in value]
    if not isinstance(value, dict):
        return value
    resolved = {key: _with_headers(item) for key, item in value.items()}
    if isinstance(value.get("headers"), list):
        resolved["headers"] = {
            HEADERS[key][0]: {"$ref": f"#/components/headers/{key}"} for key in value["headers"]
        }
    return resolved
