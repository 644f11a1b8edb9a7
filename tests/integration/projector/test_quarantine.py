"""What can't be applied parks its stream, in order; the others on the partition go on."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.events import Event, InfluencerUpdated, value_of
from services.core.readmodel.records import Headers
from services.projector.projector import Projector
from tests.bench.histories import history
from tests.integration.projector.log import Log, encoded_headers
from tests.integration.projector.models import ReadModels

PARTITION = 3
Poison = Callable[[Event], tuple[bytes | None, Headers]]


def changed(event: Event, **headers: str) -> Headers:
    return [
        (name, headers[name].encode() if name in headers else value)
        for name, value in encoded_headers(event)
    ]


POISONS: dict[str, tuple[Poison, str]] = {
    "no headers": (lambda event: (value_of(event), []), "ce_specversion is missing"),
    "not JSON": (lambda event: (b"{", encoded_headers(event)), "data is not a"),
    "no value": (lambda event: (None, encoded_headers(event)), "data is not a"),
    "unknown type": (
        lambda event: (value_of(event), changed(event, ce_type="InfluencerAscended")),
        "unknown type or version",
    ),
    "version of the future": (
        lambda event: (
            value_of(event),
            changed(event, ce_dataschema=f"/schemas/events/{event.type}/99.json"),
        ),
        "unknown type or version",
    ),
    "a gap": (
        lambda event: (value_of(event), changed(event, ce_sequence="7")),
        "expected sequence 2, got 7",
    ),
    "impossible": (
        lambda event: (
            b'{"jobId": "job_01HXZ9G7KMV2QX8Y1S5RJW3B01", "backend": "x", "attempt": 1}',
            encoded_headers(event),
        ),
        "is not running",
    ),
    "another key": (
        lambda event: (value_of(event), changed(event, ce_subject="inf_other")),
        "the key is not that of its event",
    ),
    "text that Postgres can't hold": (
        lambda event: (
            value_of(event)[:-1] + rb',"later": "\ud800"}',
            changed(event, ce_id="evt_\x00"),
        ),
        "",
    ),
}


@pytest.mark.parametrize("kind", POISONS)
async def test_poison_parks_its_stream_and_no_other(
    kind: str, projector: Projector, log: Log, models: ReadModels
) -> None:
    make, reason = POISONS[kind]
    ill, healthy = list(history()), list(history())
    await log.write([healthy[0], ill[0], healthy[1]], PARTITION)
    value, headers = make(ill[1])
    await log.write_raw(ill[0].key.encode(), value, headers, PARTITION)
    await log.write([healthy[2], ill[2], healthy[3], ill[3], *healthy[4:]], PARTITION)

    await models.has_rows("events", len(healthy) + 1)
    await models.has_rows("quarantine", 3)
    assert await models.sequences() == {healthy[0].key: len(healthy), ill[0].key: 1}
    rows = await models.quarantine()
    assert {row["stream_key"] for row in rows} == {ill[0].key}
    assert reason in rows[0]["reason"]
    assert [row["value"] for row in rows] == [value, value_of(ill[2]), value_of(ill[3])]
    assert projector.status.projected.streams_parked == 1


async def test_a_record_without_a_key_is_kept_too(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    await log.write_raw(None, b"?", [], PARTITION)
    events = list(history())
    await log.write(events, PARTITION)

    await models.has_rows("events", len(events))
    await models.has_rows("quarantine", 1)
    assert (await models.quarantine())[0]["stream_key"] == ""


async def test_one_unwritable_record_among_many_streams(
    projector: Projector, log: Log, models: ReadModels
) -> None:
    streams = [list(history()) for _ in range(6)]
    ill = streams[2]
    ill[7] = replace(ill[7], data=InfluencerUpdated(changes={"vibe": "calm\x00"}))
    await log.write([event for stream in streams for event in stream], PARTITION)

    await models.has_rows("events", 6 * 8 - 1)
    await models.has_rows("quarantine", 1)
    expected = {stream[0].key: 8 for stream in streams} | {ill[0].key: 7}
    assert await models.sequences() == expected
