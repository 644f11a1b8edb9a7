"""The errors of an operation: a response for each status, with an example of each code."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from schemas.faults import (
    BAD_REQUEST,
    FAULTS,
    RANGE_NOT_SATISFIABLE,
    Fault,
    Instance,
    envelope_model,
    problem_model,
)
from services.api.openapi.examples import REQUEST
from services.api.openapi.parameters import OF_EVERY_ANSWER
from services.api.openapi.vocabulary import JSON

NOTHING: Mapping[str, Any] = MappingProxyType({})
PROBLEM = "application/problem+json"
_BY_NAME = {fault.name: fault for fault in (BAD_REQUEST, RANGE_NOT_SATISFIABLE, *FAULTS.values())}
_OF_CODES = frozenset(fault.name for fault in FAULTS.values())
_OWN_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Unauthenticated": ("Challenge",),
        "MethodNotAllowed": ("Allow",),
        "IdempotencyConflict": ("RetryAfterWhileBusy",),
        "RateLimited": ("RetryAfter",),
        "Unavailable": ("RetryAfter",),
        "RangeNotSatisfiable": ("WholeSize",),
    }
)


def fault_models() -> dict[str, type[BaseModel]]:
    """Both bodies of each code, by the schema's name.

    400 and 416 are `VALIDATION` without details.
    """
    models: dict[str, type[BaseModel]] = {}
    for name, fault in _BY_NAME.items():
        models[f"{name}Envelope"] = envelope_model(fault)
        models[f"{name}Problem"] = problem_model(fault)
    return models


def fault_components() -> dict[str, Any]:
    """The responses that are the same wherever they occur."""
    return {name: _response([name]) for name in _BY_NAME}


def fault_responses(
    codes: set[str], own_examples: Mapping[str, Mapping[str, Instance]]
) -> dict[str, Any]:
    """By status; one that is like everywhere else is a reference."""
    names_of: dict[int, list[str]] = {}
    for name, fault in _BY_NAME.items():
        if fault is BAD_REQUEST or {fault.code, fault.name} & _told_apart(codes, fault):
            names_of.setdefault(fault.status, []).append(name)
    return {
        str(status): {"$ref": f"#/components/responses/{names[0]}"}
        if len(names) == 1 and _BY_NAME[names[0]].code not in own_examples
        else _response(names, own_examples)
        for status, names in names_of.items()
    }


def _told_apart(codes: set[str], fault: Fault) -> set[str]:
    """What HTTP has a status of its own for is there by its name alone."""
    return codes & {fault.name} if fault is RANGE_NOT_SATISFIABLE else codes


def _response(
    names: list[str], own_examples: Mapping[str, Mapping[str, Instance]] = NOTHING
) -> dict[str, Any]:
    faults = [_BY_NAME[name] for name in names]
    headers = ["NoStore", *OF_EVERY_ANSWER]
    for fault in faults:
        headers.extend(_OWN_HEADERS.get(fault.name, ()))
    return {
        "description": " Or: ".join(fault.when for fault in faults),
        "headers": headers,  # names, for now
        "content": {
            JSON: _content(names, "Envelope", own_examples),
            PROBLEM: _content(names, "Problem", own_examples),
        },
    }


def _content(
    names: list[str], shape: str, own_examples: Mapping[str, Mapping[str, Instance]]
) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{name}{shape}"} for name in names]
    return {
        "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
        "examples": {
            title.replace(" ", "-"): {"value": _example(_BY_NAME[name], shape, instance)}
            for name in names
            for title, instance in _instances(_BY_NAME[name], own_examples).items()
        },
    }


def _instances(
    fault: Fault, own_examples: Mapping[str, Mapping[str, Instance]]
) -> dict[str, Instance]:
    own = own_examples.get(fault.code, NOTHING) if fault.name in _OF_CODES else NOTHING
    return dict(own) or {fault.name: Instance(fault.message, fault.example), **fault.others}


def _example(fault: Fault, shape: str, instance: Instance) -> dict[str, Any]:
    message, details = instance
    extra = {"details": dict(details)} if details else {}
    if shape == "Envelope":
        return {"error": {"code": fault.code, "message": message, "requestId": REQUEST, **extra}}
    return {
        "type": f"/errors/{fault.code.lower()}",
        "title": fault.code.replace("_", " ").capitalize(),
        "status": fault.status,
        "detail": message,
        "instance": REQUEST,
        "code": fault.code,
        "requestId": REQUEST,
        **extra,
    }
