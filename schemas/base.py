"""What every model on the wire shares."""

import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

TIMESTAMP_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"

Timestamp = Annotated[str, StringConstraints(pattern=TIMESTAMP_PATTERN)]
"""RFC 3339 in UTC with milliseconds and `Z`; sorts as text."""

STORABLE_PATTERN = r"^[^\x00]*$"
"""For JSON Schema; lone surrogates are not JSON anyway."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("Must not contain NUL or lone surrogates")
    return text


class _Storable:
    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(_storable, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": STORABLE_PATTERN}


Storable = _Storable()
"""Marks a string that Postgres and UTF-8 can both hold. After the constraints: behind a function
pydantic tells the length of a string as that of a list."""


def without_defaults(schema: dict[str, Any]) -> None:
    """For `json_schema_extra`: fields that may be absent, and mean nothing then."""
    for field in schema["properties"].values():
        field.pop("default", None)


class WireModel(BaseModel):
    """Immutable, camelCase on the wire; unknown fields are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
    )


class StrictBody(WireModel):
    """A request body: an unknown field is a fault, its Python name too; nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)
