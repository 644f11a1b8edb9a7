"""Every kind of break between two editions of a schema is found and placed; nothing else is."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from schemas.base import WireModel
from schemas.compatibility import breaks
from schemas.events import EVENT_TYPES
from schemas.ids import JobId
from schemas.json_schemas import schema_of

Schema = dict[str, Any]
Mutation = Callable[[Schema], None]


class Part(WireModel):
    """A nested object, by reference."""

    name: str
    size: int | None = None


class Whole(WireModel):
    job_id: JobId
    kind: Literal["red", "green"]
    fixed: Literal["always"] = "always"
    count: int = Field(ge=1)
    ratio: float
    text: str | None = None
    closed: bool = False
    parts: tuple[Part, ...] = Field(min_length=1)
    part: Part | None = None
    by_name: dict[str, int]


OLD: Schema = Whole.model_json_schema()


def edited(mutate: Mutation) -> Schema:
    schema = copy.deepcopy(OLD)
    mutate(schema)
    assert schema != OLD
    Draft202012Validator.check_schema(schema)
    return schema


def of(*path: str | int, **values: Any) -> Mutation:
    """Sets keywords of the schema at `path`; None takes one away."""

    def mutate(schema: Schema) -> None:
        for step in path:
            schema = schema[step]  # type: ignore[index]
        for name, value in values.items():
            keyword = {"const_": "const"}.get(name, name)
            schema.pop(keyword, None)
            if value is not None:
                schema[keyword] = value

    return mutate


def without_field(name: str) -> Mutation:
    def mutate(schema: Schema) -> None:
        del schema["properties"][name]
        schema["required"] = [field for field in schema["required"] if field != name]

    return mutate


def with_field(name: str, *, required: bool, **schema_of_it: Any) -> Mutation:
    def mutate(schema: Schema) -> None:
        schema["properties"][name] = schema_of_it
        if required:
            schema["required"] = [*schema["required"], name]

    return mutate


def relaxed(name: str) -> Mutation:
    def mutate(schema: Schema) -> None:
        schema["required"] = [field for field in schema["required"] if field != name]

    return mutate


P = "properties"
BREAKS: dict[str, tuple[Mutation, str]] = {
    "a required field is gone": (without_field("count"), "count"),
    "an optional field is gone": (without_field("text"), "text"),
    "a field is renamed": (
        lambda s: (without_field("count")(s), with_field("total", required=False)(s))[0],
        "count",
    ),
    "a new required field": (with_field("new", required=True, type="string"), "new"),
    "an optional field becomes required": (
        lambda s: s["required"].append("text"),
        "text",
    ),
    "a required field becomes optional": (relaxed("count"), "count"),
    "another type": (of(P, "count", type="string", minimum=None), "count"),
    "a wider type": (of(P, "count", type="number"), "count"),
    "a narrower type": (of(P, "ratio", type="integer"), "ratio"),
    "null is possible now": (
        of(P, "ratio", type=None, anyOf=[{"type": "number"}, {"type": "null"}]),
        "ratio",
    ),
    "null is impossible now": (of(P, "text", anyOf=[{"type": "string"}]), "text"),
    "another type within null or": (of(P, "text", "anyOf", 0, type="integer"), "text"),
    "a new value": (of(P, "kind", enum=["red", "green", "blue"]), "kind"),
    "a value is gone": (of(P, "kind", enum=["red"]), "kind"),
    "an enumeration is opened": (of(P, "kind", enum=None), "kind"),
    "an open text is closed": (of(P, "text", "anyOf", 0, enum=["a"]), "text"),
    "another constant": (of(P, "fixed", const_="never"), "fixed"),
    "another default": (of(P, "closed", default=True), "closed"),
    "another pattern": (of(P, "jobId", pattern="^job_[0-9]+$"), "jobId"),
    "a pattern is gone": (of(P, "jobId", pattern=None), "jobId"),
    "a new pattern": (of(P, "kind", pattern="^[a-z]+$"), "kind"),
    "a new format": (of(P, "text", "anyOf", 0, format="date"), "text"),
    "a lower bound falls": (of(P, "count", minimum=0), "count"),
    "a lower bound rises": (of(P, "count", minimum=2), "count"),
    "a new upper bound": (of(P, "count", maximum=9), "count"),
    "a new length": (of(P, "kind", maxLength=9), "kind"),
    "an array may be empty": (of(P, "parts", minItems=None), "parts"),
    "an array is bounded": (of(P, "parts", maxItems=3), "parts"),
    "items of another type": (of(P, "parts", items={"type": "string"}), "parts[]"),
    "items of any type": (of(P, "parts", items=None), "parts[]"),
    "within a reference: a field is gone": (
        lambda s: s["$defs"]["Part"][P].pop("size"),
        "parts[].size",
    ),
    "within a reference: a new required field": (
        of("$defs", "Part", required=["name", "size"]),
        "parts[].size",
    ),
    "within null or a reference": (of("$defs", "Part", P, "name", type="integer"), "part.name"),
    "a reference to something else": (
        of(P, "part", anyOf=[{"type": "string"}, {"type": "null"}]),
        "part",
    ),
    "values of a map": (of(P, "byName", additionalProperties={"type": "string"}), "byName{}"),
    "unknown fields are refused": (of(additionalProperties=False), "{}"),
    "no object any more": (of(type="array"), ""),
    "a keyword nobody knows": (of(P, "text", not_={"const": "x"}), "text"),
}

GAINED_BACKWARDS = {"an optional field is gone", "within a reference: a field is gone"}
"""Seen from the other side, an optional field is new there."""

HARMLESS: dict[str, Mutation] = {
    "a new optional field": with_field("new", required=False, type="string"),
    "a new optional field of a reference": lambda s: s["$defs"]["Part"][P].update(new={}),
    "another description": of(P, "count", description="How many."),
    "another title": of(title="Everything"),
    "another name of a definition": lambda s: s.update(_renamed(s)),
    "another order": lambda s: s.update(
        required=s["required"][::-1], properties=dict(reversed(s[P].items()))
    ),
    "another order of values": of(P, "kind", enum=["green", "red"]),
    "more values of an open enumeration": of(
        P, "text", "anyOf", 0, **{"x-extensible-enum": ["a", "b"]}
    ),
    "an example": of(P, "kind", examples=["red"]),
    "a field goes out of use": of(P, "text", deprecated=True),
}


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            {"Part": "Piece"}.get(key, key): (
                value.replace("/Part", "/Piece") if key == "$ref" else _renamed(value)
            )
            for key, value in schema.items()
        }
    return [_renamed(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_found_and_placed(name: str) -> None:
    mutate, place = BREAKS[name]
    assert place in {found.place for found in breaks(OLD, edited(mutate))}


@pytest.mark.parametrize("name", sorted(BREAKS.keys() - GAINED_BACKWARDS))
def test_a_break_is_one_in_the_other_direction_too(name: str) -> None:
    mutate, _ = BREAKS[name]
    assert breaks(edited(mutate), OLD)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_every_reader_can_read_is_no_break(name: str) -> None:
    assert breaks(OLD, edited(HARMLESS[name])) == []


def test_a_new_field_is_a_break_for_readers_that_take_no_others() -> None:
    closed = {**OLD, "additionalProperties": False}
    new = copy.deepcopy(closed)
    new["properties"]["new"] = {"type": "string"}
    assert [found.place for found in breaks(closed, new)] == ["new"]


def test_a_schema_that_contains_itself_is_compared() -> None:
    tree: Schema = {
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {"below": {"$ref": "#/$defs/Tree"}, "name": {"type": "string"}},
            }
        },
    }
    other = copy.deepcopy(tree)
    assert breaks(tree, other) == []
    other["$defs"]["Tree"]["properties"]["name"]["type"] = "integer"
    assert "name" in {found.place for found in breaks(tree, other)}


def test_a_break_is_told_in_words() -> None:
    mutate, _ = BREAKS["a new value"]
    (found,) = breaks(OLD, edited(mutate))
    assert str(found) == "kind: 'blue' is a new value: old readers refuse it"


@pytest.mark.parametrize("model", EVENT_TYPES.values(), ids=lambda model: model.__name__)
def test_every_field_of_every_event_is_guarded(model: Any) -> None:
    """Whatever is changed in any part of a schema that readers validate by, it is noticed."""
    schema = schema_of(model)
    for path in _paths_of_types(schema):
        changed = copy.deepcopy(schema)
        part: Any = changed
        for step in path:
            part = part[step]
        part["type"] = "boolean" if part["type"] != "boolean" else "string"
        assert breaks(schema, changed), path
        assert breaks(changed, schema), path


def _paths_of_types(schema: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(schema, list):
        inner = enumerate(schema)
    elif isinstance(schema, dict):
        inner = schema.items()  # type: ignore[assignment]
    else:
        return []
    own = [path] if isinstance(schema, dict) and isinstance(schema.get("type"), str) else []
    return own + [found for key, item in inner for found in _paths_of_types(item, (*path, key))]
