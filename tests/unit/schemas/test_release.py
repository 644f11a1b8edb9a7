"""The gate: the present against every release, and releases that nobody has touched since."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from schemas import events
from schemas.events import (
    EVENT_TYPES,
    Event,
    EventData,
    InfluencerDeleted,
    decode,
    headers_of,
    readings,
    value_of,
)
from schemas.examples import Example, read_examples
from schemas.json_schemas import schema_of
from schemas.release import (
    Edition,
    Refused,
    faults,
    freeze,
    incompatibilities,
    main,
    present,
    released,
    releases,
)
from tests.unit.schemas.strategies import events as any_events

FROZEN = releases()
FROZEN_EDITIONS = [released(release) for release in FROZEN]
EXAMPLES = [
    pytest.param(example, id=f"{release.name}-{file.parent.name}-{file.stem}-{example.title}")
    for release in FROZEN
    for file in sorted(release.glob("examples/*/*.json"))
    for example in read_examples(file)
]


def test_the_present_breaks_with_no_release() -> None:
    assert faults() == []
    assert main(["--check"]) == 0


def test_there_is_a_release() -> None:
    assert FROZEN
    for edition in FROZEN_EDITIONS:
        assert edition.schemas.keys() == edition.examples.keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_frozen_event_is_read_and_written_as_it_was(example: Example) -> None:
    event = decode_example(example)
    newest = max(v for name, v in EVENT_TYPES if name == event.type)
    assert event.data.version == newest
    assert event.key == example.key
    if event.version == newest:
        assert headers_of(event) == example.headers
        assert orjson.loads(value_of(event)) == example.value


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_frozen_event_keeps_to_every_schema_of_its_version(example: Example) -> None:
    path = example.headers["ce_dataschema"].removeprefix("/schemas/events/").removesuffix(".json")
    for edition in (present(), *FROZEN_EDITIONS):
        if path in edition.schemas:
            Draft202012Validator(edition.schemas[path]).validate(example.value)
        Draft202012Validator(edition.headers).validate(example.headers)


@settings(deadline=None, max_examples=150)
@given(event=any_events)
def test_any_event_of_today_keeps_to_every_frozen_schema(event: Event) -> None:
    for edition in FROZEN_EDITIONS:
        schema = edition.schemas.get(f"{event.type}/{event.data.version}")
        if schema:
            Draft202012Validator(schema).validate(json.loads(value_of(event)))


def decode_example(example: Example) -> Event:
    headers = [(name, text.encode()) for name, text in example.headers.items()]
    return decode(headers, orjson.dumps(example.value))


def changed(edition: Edition, part: str, name: str, edit: Callable[[Any], None]) -> Edition:
    copied = orjson.loads(orjson.dumps(getattr(edition, part)))
    edit(copied[name] if name else copied)
    return replace(edition, **{part: copied})


@pytest.mark.parametrize(
    ("part", "name", "edit", "fault"),
    [
        ("schemas", "", lambda s: s.pop("JobCanceled/1"), "JobCanceled/1 is gone"),
        (
            "schemas",
            "InfluencerReady/1",
            lambda s: s["required"].remove("assetIds"),
            "InfluencerReady/1, assetIds: required no more",
        ),
        (
            "schemas",
            "InfluencerDrafted/1",
            lambda s: s["$defs"]["Profile"]["properties"]["gender"]["anyOf"][0]["enum"].append("x"),
            "InfluencerDrafted/1, profile.gender: 'x' is a new value",
        ),
        ("headers", "", lambda h: h["properties"].pop("ce_sequence"), "ce_sequence: the field"),
        ("headers", "", lambda h: h["required"].remove("traceparent"), "traceparent: required no"),
        ("channels", "", lambda c: c.pop("media.events.v1"), "media.events.v1, the topic is gone"),
        (
            "channels",
            "media.events.v1",
            lambda c: c.update(partitions=24),
            "media.events.v1, partitions was 12, is 24",
        ),
        (
            "channels",
            "influencer.events.v1",
            lambda c: c["configuration"].update({"retention.ms": "1"}),
            "influencer.events.v1, configuration was",
        ),
        (
            "channels",
            "influencer.events.v1",
            lambda c: c["types"].remove("JobCanceled"),
            "influencer.events.v1, JobCanceled is no more on it",
        ),
    ],
)
def test_a_break_of_any_part_is_told(
    part: str, name: str, edit: Callable[[Any], None], fault: str
) -> None:
    now = present()
    (found,) = incompatibilities(now, changed(now, part, name, edit))
    assert fault in found


def test_what_is_added_is_no_break() -> None:
    now = present()
    new = changed(now, "schemas", "", lambda s: s.update({"InfluencerMarried/1": {}}))
    new = changed(new, "headers", "properties", lambda h: h.update(ce_new={"type": "string"}))
    new = changed(new, "channels", "media.events.v1", lambda c: c["types"].append("MediaSeen"))
    assert list(incompatibilities(now, new)) == []


def test_a_new_type_without_an_example_is_not_ready() -> None:
    now = present()
    new = replace(now, schemas={**now.schemas, "InfluencerMarried/1": {}})
    assert faults(now=new) == ["InfluencerMarried/1 has no example"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    freeze(tmp_path / "releases")
    return tmp_path / "releases"


def test_a_release_is_what_there_was(folder: Path) -> None:
    (release,) = releases(folder)
    assert release.name == "1"
    assert released(release) == present()
    assert faults(folder) == []


def test_nothing_new_is_no_release(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], folder) == 1
    assert "nothing has changed since release 1" in capsys.readouterr().err
    assert len(releases(folder)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda release: (release / "headers.json").write_text("{}"),
        lambda release: (release / "events" / "JobCanceled" / "1.json").unlink(),
        lambda release: (release / "examples" / "stray.json").write_text("[]"),
        lambda release: (release / "SHA256SUMS").unlink(),
        lambda release: shutil.rmtree(release / "events" / "JobCanceled"),
    ],
    ids=["a file altered", "a file gone", "a file added", "the sums gone", "a folder gone"],
)
def test_a_release_that_was_altered_is_told_and_followed_by_none(
    folder: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "1")
    assert main(["--check"], folder) == 1
    assert "altered" in capsys.readouterr().err
    with pytest.raises(Refused):
        freeze(folder)
    assert len(releases(folder)) == 1


def test_a_release_that_is_gone_is_missed(folder: Path) -> None:
    (folder / "1").rename(folder / "2")
    assert faults(folder) == ["release 1 is missing"]


class InfluencerDeletedV2(EventData):
    """Version 2, that asks for a reason."""

    event_type: ClassVar[str] = "InfluencerDeleted"
    version: ClassVar[int] = 2
    reason: str


def test_the_same_break_is_refused_in_place_and_taken_as_a_new_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And version 1, frozen, is read as version 2 then."""
    now = present()
    in_place = {**now.schemas, "InfluencerDeleted/1": schema_of(InfluencerDeletedV2)}
    found = faults(folder, replace(now, schemas=in_place))
    assert any("InfluencerDeleted/1, reason: required now" in fault for fault in found)

    beside = {**now.schemas, "InfluencerDeleted/2": schema_of(InfluencerDeletedV2)}
    examples = {**now.examples, "InfluencerDeleted/2": []}
    assert faults(folder, replace(now, schemas=beside, examples=examples)) == []

    models: list[type[EventData]] = [InfluencerDeleted, InfluencerDeletedV2]
    lifted = readings(
        models,
        {InfluencerDeleted: lambda old: InfluencerDeletedV2(reason=old.reason or "not told")},
    )
    monkeypatch.setattr(events, "_READINGS", lifted)
    (example,) = read_examples(folder / "1" / "examples" / "InfluencerDeleted" / "1.json")
    event = decode_example(example)
    assert event.data == InfluencerDeletedV2(reason=str(example.value["reason"]))
