"""Whether readers of two editions of a schema can read each other's data: full compatibility. Pure.

Each must read what the other's writers write, and readers ignore fields they don't know. So a field
that both have takes the same values in both, and the only change left is a new optional field.
Words (titles, descriptions, examples) may change. What is not known to be harmless is a break.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "$defs", "title", "description", "examples", "deprecated"}
    | {"x-extensible-enum"}
)
"""Keywords that no reader validates by. `x-extensible-enum` names values of an open set: an `enum`
would be closed for ever."""


@dataclass(frozen=True, slots=True)
class Break:
    """`place` is a path of fields, `[]` an array's items, `{}` a map's values."""

    place: str
    fault: str

    def __str__(self) -> str:
        return f"{self.place or 'the whole'}: {self.fault}"


def breaks(old: Schema, new: Schema) -> list[Break]:
    """What a reader of the one can't read of the other's data; none when all can be read."""
    return list(_Comparison(old, new).breaks(old, new, "", ()))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """`old` and `new` are the whole documents, in which references are looked up."""

    old: Schema
    new: Schema

    def breaks(
        self, old: Any, new: Any, place: str, above: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            references = (str(old.get("$ref")), str(new.get("$ref")))
            if "$ref" in old and "$ref" in new:
                if references in above:  # a schema that contains itself
                    return
                above = (*above, references)
            old, new = _followed(old, self.old), _followed(new, self.new)
            yield from self._of_schemas(old, new, place, above)
        elif old != new:
            yield Break(place, f"was {_told(old)}, is {_told(new)}")

    def _of_schemas(
        self, old: Schema, new: Schema, place: str, above: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        for keyword in sorted((old.keys() | new.keys()) - ANNOTATIONS):
            before, after = old.get(keyword, _ABSENT), new.get(keyword, _ABSENT)
            if keyword == "properties":
                yield from self._of_fields(old, new, place, above)
            elif keyword == "required":
                yield from _of_required(old, new, place)
            elif keyword == "enum" and _ABSENT not in (before, after):
                yield from _of_values(before, after, place)
            elif keyword in ("items", "additionalProperties"):
                inner = "[]" if keyword == "items" else "{}"
                yield from self.breaks(before, after, f"{place}{inner}", above)
            elif keyword in ("anyOf", "oneOf", "allOf") and _ABSENT not in (before, after):
                yield from self._of_branches(keyword, before, after, place, above)
            elif before != after:
                yield Break(place, f"{keyword} was {_told(before)}, is {_told(after)}")

    def _of_fields(
        self, old: Schema, new: Schema, place: str, above: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in sorted(before.keys() - after.keys()):
            yield Break(_below(place, name), "the field is gone")
        for name in sorted(before.keys() & after.keys()):
            yield from self.breaks(before[name], after[name], _below(place, name), above)
        if old.get("additionalProperties") is False:
            for name in sorted(after.keys() - before.keys()):
                yield Break(_below(place, name), "new, and old readers take no other fields")

    def _of_branches(
        self,
        keyword: str,
        before: list[Any],
        after: list[Any],
        place: str,
        above: tuple[tuple[str, str], ...],
    ) -> Iterator[Break]:
        if len(before) != len(after):
            yield Break(place, f"{keyword} was {_told(before)}, is {_told(after)}")
            return
        for old, new in zip(before, after, strict=True):
            yield from self.breaks(old, new, place, above)


def _of_required(old: Schema, new: Schema, place: str) -> Iterator[Break]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield Break(_below(place, name), "required now: old data may lack it")
    for name in sorted(before - after):
        yield Break(_below(place, name), "required no more: old readers rely on it")


def _of_values(before: list[Any], after: list[Any], place: str) -> Iterator[Break]:
    for value in after:
        if value not in before:
            yield Break(place, f"{value!r} is a new value: old readers refuse it")
    for value in before:
        if value not in after:
            yield Break(place, f"the value {value!r} is gone: old data may have it")


def _followed(schema: Schema, document: Schema) -> Schema:
    """`schema`, or what it refers to; words beside a reference are the reference's own."""
    while "$ref" in schema:
        beside = {k: v for k, v in schema.items() if k != "$ref" and k not in ANNOTATIONS}
        found: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = {**found, **beside}
    return schema


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _told(value: Any) -> str:
    return "absent" if value is _ABSENT else repr(value)


_ABSENT = object()
