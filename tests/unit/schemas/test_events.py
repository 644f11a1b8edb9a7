"""The envelope: what is written is read back, and what is no event of ours says why."""

import pytest
from hypothesis import given, settings

from schemas.events import (
    EVENT_TYPES,
    Event,
    EventData,
    InfluencerDeleted,
    InfluencerDrafted,
    InfluencerUpdated,
    UndecodableEvent,
    UnknownEventType,
    decode,
    headers_of,
    value_of,
)
from schemas.profile import Profile
from tests.unit.domain.histories import RENDER_REQUESTED
from tests.unit.domain.specification import envelope
from tests.unit.samples import INFLUENCER_ID, ORGANIZATION_ID, PROJECT_ID, TRACEPARENT
from tests.unit.schemas.strategies import event_data, events

EVENT = envelope(InfluencerDeleted(reason="no longer wanted"), 7)


def encoded(event: Event = EVENT, **changed: bytes | None) -> list[tuple[str, bytes]]:
    """The headers of `event`; a changed one replaced, or left out when None."""
    changes = {name.replace("__", "-"): value for name, value in changed.items()}
    headers: dict[str, bytes | None] = {
        name: value.encode() for name, value in headers_of(event).items()
    }
    return [(name, value) for name, value in (headers | changes).items() if value is not None]


def test_an_envelope_is_cloudevents_in_kafka_binary_mode() -> None:
    assert headers_of(EVENT) == {
        "ce_specversion": "1.0",
        "ce_id": "evt_00000000000000000000000007",
        "ce_source": "/services/api",
        "ce_type": "InfluencerDeleted",
        "ce_subject": INFLUENCER_ID,
        "ce_time": "2026-11-23T00:00:07.000Z",
        "ce_dataschema": "/schemas/events/InfluencerDeleted/1.json",
        "ce_sequence": "7",
        "ce_organizationid": ORGANIZATION_ID,
        "ce_projectid": PROJECT_ID,
        "ce_correlationid": "req_00000000000000000000000007",
        "ce_causationid": "req_00000000000000000000000007",
        "traceparent": TRACEPARENT,
        "content-type": "application/json",
    }
    assert value_of(EVENT) == b'{"reason":"no longer wanted"}'
    assert EVENT.key == f"{ORGANIZATION_ID}/{INFLUENCER_ID}"


def test_a_null_that_clears_is_written_and_a_field_without_a_value_is_not() -> None:
    cleared = InfluencerUpdated(changes={"style": None})
    assert value_of(envelope(cleared, 1)) == b'{"changes":{"style":null}}'
    assert value_of(envelope(InfluencerDeleted(), 1)) == b"{}"


def test_what_has_a_default_is_written_all_the_same() -> None:
    assert value_of(envelope(RENDER_REQUESTED, 1)) == (
        b'{"jobId":"job_01HXZ9G7KMV2QX8Y1S5RJW3B02","jobKind":"influencer_render",'
        b'"views":["portrait","smiling"]}'
    )
    drafted = InfluencerDrafted(profile=Profile(name="Ava Chen"))
    assert value_of(envelope(drafted, 1)) == (
        b'{"profile":{"name":"Ava Chen"},"referenceImages":[]}'
    )


def test_every_type_of_the_contract_can_be_made_up() -> None:
    assert set(event_data) == set(EVENT_TYPES.values())


@settings(deadline=None, max_examples=250)
@given(event=events)
def test_what_is_encoded_is_decoded_as_it_was(event: Event) -> None:
    assert decode(encoded(event), value_of(event)) == event


def test_unknown_fields_and_headers_are_ignored() -> None:
    value = b'{"reason":"no longer wanted","color":{"of":["the future"]}}'
    assert decode([*encoded(), ("ce_newattribute", b"x")], value) == EVENT


def test_the_order_of_the_headers_does_not_matter() -> None:
    assert decode(reversed(encoded()), value_of(EVENT)) == EVENT


def test_an_event_without_a_trace_is_read() -> None:
    assert decode(encoded(traceparent=None), value_of(EVENT)).traceparent == ""


@pytest.mark.parametrize("name", [name for name in headers_of(EVENT) if name.startswith("ce_")])
def test_a_missing_header_is_named(name: str) -> None:
    headers = [header for header in encoded() if header[0] != name]
    with pytest.raises(UndecodableEvent, match=name) as refusal:
        decode(headers, value_of(EVENT))
    assert not isinstance(refusal.value, UnknownEventType)


def test_a_record_without_headers_is_no_event() -> None:
    with pytest.raises(UndecodableEvent):
        decode([], b"{}")


@pytest.mark.parametrize("name", list(headers_of(EVENT)))
def test_a_header_that_is_not_utf8_is_refused(name: str) -> None:
    headers = [(key, b"\xff\xfe" if key == name else value) for key, value in encoded()]
    with pytest.raises(UndecodableEvent, match="UTF-8"):
        decode(headers, value_of(EVENT))


def test_a_header_without_a_value_is_refused() -> None:
    headers: list[tuple[str, bytes]] = [*encoded(), ("ce_extra", None)]  # type: ignore[list-item]
    with pytest.raises(UndecodableEvent):
        decode(headers, value_of(EVENT))


@pytest.mark.parametrize(
    "sequence", [b"", b"0", b"-1", b"+1", b" 1", b"1 ", b"01", b"1_0", b"1.0", b"one", "٣".encode()]
)
def test_a_sequence_is_a_plain_decimal_from_1(sequence: bytes) -> None:
    with pytest.raises(UndecodableEvent, match="ce_sequence"):
        decode(encoded(ce_sequence=sequence), value_of(EVENT))


@pytest.mark.parametrize(
    "time",
    [
        b"",
        b"yesterday",
        b"2026-11-23",
        b"2026-11-23T09:15:02Z",
        b"2026-11-23T09:15:02.118+01:00",
        b"2026-11-23T09:15:02.118Z\n",
        "２026-11-23T09:15:02.118Z".encode(),
    ],
)
def test_a_time_is_rfc3339_in_utc_with_milliseconds(time: bytes) -> None:
    with pytest.raises(UndecodableEvent, match="ce_time"):
        decode(encoded(ce_time=time), value_of(EVENT))


def test_another_specification_is_refused() -> None:
    with pytest.raises(UndecodableEvent, match="ce_specversion"):
        decode(encoded(ce_specversion=b"2.0"), value_of(EVENT))


@pytest.mark.parametrize(
    ("event_type", "dataschema"),
    [
        (b"InfluencerMarried", b"/schemas/events/InfluencerMarried/1.json"),
        (b"InfluencerDeleted", b"/schemas/events/InfluencerDeleted/2.json"),
        (b"InfluencerDeleted", b"https://example.com/InfluencerDeleted.json"),
        (b"InfluencerReady", b"/schemas/events/InfluencerDeleted/1.json"),
    ],
    ids=["a new type", "a version from the future", "another schema", "type and schema differ"],
)
def test_a_type_or_version_we_do_not_know_is_told_apart(
    event_type: bytes, dataschema: bytes
) -> None:
    with pytest.raises(UnknownEventType):
        decode(encoded(ce_type=event_type, ce_dataschema=dataschema), value_of(EVENT))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b'"reason"',
        b"{",
        b'{"reason":"no lon',
        b'{"reason":7}',
        b'{"reason":NaN}',
        b'{"reason":"\\ud800"}',
        b'{"reason":"\xff"}',
        b'{"reason":' + b"[" * 10_000,
    ],
    ids=repr,
)
def test_a_value_that_is_not_the_data_of_its_type_is_refused(value: bytes | None) -> None:
    with pytest.raises(UndecodableEvent) as refusal:
        decode(encoded(), value)
    assert refusal.value.reason.startswith("data is not a InfluencerDeleted")


@settings(deadline=None, max_examples=60)
@given(event=events)
def test_truncated_data_is_never_read_as_something_else(event: Event) -> None:
    value = value_of(event)
    for cut in {0, 1, len(value) // 2, len(value) - 1}:
        with pytest.raises(UndecodableEvent):
            decode(encoded(event), value[:cut])


def test_data_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        EVENT.data.__setattr__("reason", "another")


def test_every_version_of_a_type_is_registered_once() -> None:
    models: list[type[EventData]] = list(EVENT_TYPES.values())
    assert [(model.event_type, model.version) for model in models] == list(EVENT_TYPES)
