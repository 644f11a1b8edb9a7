"""The committed JSON Schemas say what the models say, and every event keeps to its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from schemas.events import EVENT_TYPES, Event, EventData, value_of
from schemas.generate import FOLDER, differences, documents, main
from schemas.json_schemas import DIALECT
from tests.unit.schemas.strategies import events

MODELS = list(EVENT_TYPES.values())


def committed(model: type[EventData]) -> dict[str, Any]:
    path = FOLDER / "events" / model.event_type / f"{model.version}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(schema, dict)
    return schema


VALIDATORS = {model: Draft202012Validator(committed(model)) for model in MODELS}


def test_the_committed_schemas_are_in_step_with_the_models() -> None:
    assert differences(FOLDER, documents()) == []
    assert main(["--check"]) == 0


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_valid_and_says_what_it_is(model: type[EventData]) -> None:
    schema = committed(model)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"/schemas/events/{model.event_type}/{model.version}.json"
    assert schema["title"] == model.event_type
    assert schema["description"]


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_open_to_fields_of_the_future(model: type[EventData]) -> None:
    assert 'additionalProperties": false' not in json.dumps(committed(model))


@settings(deadline=None, max_examples=250)
@given(event=events)
def test_every_event_is_valid_under_its_schema(event: Event) -> None:
    VALIDATORS[type(event.data)].validate(json.loads(value_of(event)))


@settings(deadline=None, max_examples=50)
@given(event=events)
def test_an_event_without_a_required_field_is_not(event: Event) -> None:
    validator = VALIDATORS[type(event.data)]
    data = json.loads(value_of(event))
    for name in committed(type(event.data)).get("required", []):
        assert not validator.is_valid({key: data[key] for key in data if key != name})


def test_a_check_names_each_difference_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "events" / "InfluencerReady" / "1.json").write_text("{}")
    (tmp_path / "events" / "InfluencerFailed" / "1.json").unlink()
    (tmp_path / "events" / "InfluencerReady" / "2.json").write_text("{}")
    (tmp_path / "asyncapi.yaml").write_text("")
    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[:4] == [
        "asyncapi.yaml is outdated",
        "events/InfluencerFailed/1.json is missing",
        "events/InfluencerReady/1.json is outdated",
        "events/InfluencerReady/2.json belongs to no event",
    ]
