"""Old versions are read as the newest, and a registry that can't do that is refused."""

from collections.abc import Iterator
from typing import Any, ClassVar

import orjson
import pytest

from schemas.events import (
    EVENT_TYPES,
    Event,
    EventData,
    InfluencerCreateRequested,
    InfluencerDeleted,
    UndecodableEvent,
    decode,
    headers_of,
    newest_data,
    readings,
    value_of,
)
from schemas.profile import Profile
from tests.unit.domain.specification import envelope
from tests.unit.samples import JOB_ID, VIEWS
from tests.unit.schemas.versions import (
    InfluencerCreateRequestedV1,
    old_headers,
    old_value,
    register,
)

DATA = InfluencerCreateRequested(
    job_id=JOB_ID,
    job_kind="influencer_create",
    profile=Profile(name="Ava Chen", style="minimalist"),
    views=VIEWS,
)


class Third(EventData):
    """Version 3 of a type whose versions 1 and 2 are below."""

    version: ClassVar[int] = 3
    words: tuple[str, ...]


class ThirdV2(EventData):
    event_type: ClassVar[str] = "Third"
    version: ClassVar[int] = 2
    text: str


class ThirdV1(EventData):
    event_type: ClassVar[str] = "Third"
    letters: tuple[str, ...]


UPCASTERS = {
    ThirdV1: lambda old: ThirdV2(text="".join(old.letters)),
    ThirdV2: lambda old: Third(words=tuple(old.text.split())),
}


@pytest.fixture
def with_a_past() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


def encoded(headers: dict[str, str]) -> list[tuple[str, bytes | None]]:
    return [(name, text.encode()) for name, text in headers.items()]


@pytest.mark.usefixtures("with_a_past")
def test_an_old_version_is_read_as_the_newest() -> None:
    event = envelope(DATA, 1)
    read = decode(encoded(old_headers(event)), old_value(DATA))
    assert read.data == DATA
    assert type(read.data) is InfluencerCreateRequested
    assert (read.type, read.version, read.data.version) == ("InfluencerCreateRequested", 1, 2)


@pytest.mark.usefixtures("with_a_past")
def test_the_newest_version_is_read_as_it_is_and_written_as_what_it_is() -> None:
    event = envelope(DATA, 1)
    headers = headers_of(event)
    assert headers["ce_dataschema"] == "/schemas/events/InfluencerCreateRequested/2.json"
    read = decode(encoded(headers), value_of(event))
    assert read == event
    assert read.version == 2


@pytest.mark.usefixtures("with_a_past")
@pytest.mark.parametrize("value", [b"{}", value_of(envelope(DATA, 1)), b"", None])
def test_an_old_version_keeps_to_its_own_model(value: bytes | None) -> None:
    with pytest.raises(UndecodableEvent, match="data is not a InfluencerCreateRequested"):
        decode(encoded(old_headers(envelope(DATA, 1))), value)


def test_a_fault_of_an_upcaster_is_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(old: InfluencerCreateRequestedV1) -> EventData:
        raise LookupError("no such pose")

    monkeypatch.setattr(InfluencerCreateRequested, "version", 2)
    read = readings(
        [InfluencerCreateRequested, InfluencerCreateRequestedV1],
        {InfluencerCreateRequestedV1: broken},
    )
    monkeypatch.setattr("schemas.events._READINGS", read)
    with pytest.raises(UndecodableEvent, match="version 1: LookupError"):
        decode(encoded(old_headers(envelope(DATA, 1))), old_value(DATA))


def test_a_past_that_is_over_leaves_nothing_behind() -> None:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
    event = envelope(DATA, 1)
    assert decode(encoded(headers_of(event)), value_of(event)) == event
    with pytest.raises(UndecodableEvent):
        decode(encoded(headers_of(event)), old_value(DATA))


def test_upcasters_follow_one_another() -> None:
    read = readings([ThirdV1, Third, ThirdV2], UPCASTERS)
    by_version = {key[2]: reading for key, reading in read.items()}
    first = by_version["/schemas/events/Third/1.json"]
    second = by_version["/schemas/events/Third/2.json"]
    third = by_version["/schemas/events/Third/3.json"]
    assert first.validate(b'{"letters":["a"," ","b"]}') == Third(words=("a", "b"))
    assert second.validate(b'{"text":"a b"}') == Third(words=("a", "b"))
    assert third.validate(b'{"words":["a","b"]}') == Third(words=("a", "b"))
    assert [first.lifted_from, second.lifted_from, third.lifted_from] == [1, 2, None]


@pytest.mark.parametrize(
    ("models", "upcasters", "reason"),
    [
        ([ThirdV1, ThirdV2, Third], {ThirdV1: UPCASTERS[ThirdV1]}, "upcaster from version 2"),
        ([ThirdV1, Third], UPCASTERS, "belongs to no version"),
        ([ThirdV1, Third], {ThirdV1: UPCASTERS[ThirdV1]}, "has no version 2|newest version"),
        ([ThirdV1, ThirdV2, Third], UPCASTERS | {Third: lambda old: old}, "newest version"),
        ([ThirdV2, Third], {ThirdV2: UPCASTERS[ThirdV2]}, "has no version 1"),
    ],
    ids=["a step missing", "a stray", "a version missing", "beyond the newest", "the first gone"],
)
def test_versions_that_can_not_all_be_read_are_refused(
    models: list[type[EventData]], upcasters: dict[type[EventData], Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        readings(models, upcasters)


@pytest.mark.usefixtures("with_a_past")
def test_kept_data_is_lifted_when_it_is_shown() -> None:
    shown = newest_data("InfluencerCreateRequested", 1, old_value(DATA))
    assert orjson.loads(shown) == orjson.loads(value_of(envelope(DATA, 1)))


@pytest.mark.parametrize(
    ("event_type", "version"),
    [("InfluencerDeleted", 1), ("InfluencerDeleted", 2), ("InfluencerMarried", 1)],
    ids=["the newest", "from the future", "a type of the future"],
)
def test_kept_data_that_can_not_be_lifted_is_shown_as_it_is(event_type: str, version: int) -> None:
    value = b'{"reason":"x","color":{"of":"the future"}}'
    assert newest_data(event_type, version, value) is value


def test_the_newest_version_has_the_name_of_its_type() -> None:
    newest: dict[str, type[EventData]] = {}
    for (name, _), model in sorted(EVENT_TYPES.items()):
        newest[name] = model
    assert {name: model.__name__ for name, model in newest.items()} == {n: n for n in newest}


def test_an_event_tells_the_version_on_the_log() -> None:
    event: Event = envelope(InfluencerDeleted(), 1)
    assert (event.version, event.lifted_from) == (1, None)
