"""The JSON Schema of the data of an event, made from its model."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from schemas.events import EventData, dataschema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(model: type[EventData]) -> dict[str, Any]:
    """What a reader may rely on. Objects stay open, since a type gains optional fields."""
    return {
        "$schema": DIALECT,
        "$id": dataschema(model.event_type, model.version),
        **model.model_json_schema(mode="serialization", schema_generator=_WithoutFieldTitles),
        "title": model.event_type,
    }


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title made up from a field's name says nothing."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False
