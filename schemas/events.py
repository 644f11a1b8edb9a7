"""The events, and the CloudEvents 1.0 envelope they travel in (Kafka binary mode).

Attributes are headers, the value is the JSON of `data`
(https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md).
A type's schema only gains optional fields; a breaking change is a new version, and the old one's
model stays here with an upcaster beside it (`docs/development.md`, "To change an event").
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, JsonValue, ValidationError

from schemas.base import TIMESTAMP_PATTERN, Timestamp, WireModel
from schemas.ids import AssetId, InfluencerId, JobId
from schemas.images import ReferenceImage
from schemas.jobs import JobError
from schemas.profile import Profile

INFLUENCER_TOPIC = "influencer.events.v1"
MEDIA_TOPIC = "media.events.v1"
CONTENT_TOPIC = "content.events.v1"

_SEQUENCE = re.compile("[1-9][0-9]*")
_TIME = re.compile(TIMESTAMP_PATTERN)


class EventData(WireModel):
    """The `data` of one event type in one version.

    The newest version's class has the type's name. That of an older one says which `event_type`
    it is a version of.
    """

    event_type: ClassVar[str]
    version: ClassVar[int] = 1

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "event_type" not in cls.__dict__:
            cls.event_type = cls.__name__


class InfluencerDrafted(EventData):
    """An influencer was described; nothing is rendered yet."""

    profile: Profile
    reference_images: tuple[ReferenceImage, ...] = ()


class InfluencerCreateRequested(EventData):
    """A new influencer is to be rendered; `referenceImages` are the uploaded seeds.

    A clone names its source, and in `identityId` the influencer whose face it has.
    """

    job_id: JobId
    job_kind: Literal["influencer_create", "influencer_clone"]
    profile: Profile
    reference_images: tuple[ReferenceImage, ...] = ()
    source_influencer_id: InfluencerId | None = None
    identity_id: InfluencerId | None = None
    views: tuple[str, ...] = Field(min_length=1)


class InfluencerRenderRequested(EventData):
    """An existing influencer is to be rendered, again if it is ready; a ready one stays so."""

    job_id: JobId
    job_kind: Literal["influencer_render"] = "influencer_render"
    views: tuple[str, ...] = Field(min_length=1)


class InfluencerTrainingStarted(EventData):
    """A worker began the job's `attempt`, counted from 1."""

    job_id: JobId
    backend: str
    attempt: int = Field(ge=1)


class InfluencerImageRendered(EventData):
    """One image of a job is stored; `index` is the place of `view` in the job's `views`, from 0."""

    job_id: JobId
    index: int = Field(ge=0)
    total: int = Field(ge=1)
    view: str
    image: ReferenceImage


class InfluencerReady(EventData):
    """The job is completed: all its images are there, named in the order of its `views`."""

    job_id: JobId
    asset_ids: tuple[AssetId, ...]


class InfluencerFailed(EventData):
    """The job failed for good; a ready influencer stays ready."""

    job_id: JobId
    error: JobError


class JobCanceled(EventData):
    """The job ends here.

    `requestedBy` is the id of the key that asked for it; `influencerctl` for an operator.
    """

    job_id: JobId
    requested_by: str


class InfluencerUpdated(EventData):
    """`changes` maps a field of the profile, in camelCase, to its new value; null clears it."""

    changes: dict[str, JsonValue]


class ReferenceImagesLinked(EventData):
    """Uploaded images joined the influencer's reference images."""

    images: tuple[ReferenceImage, ...] = Field(min_length=1)


class ReferenceImageUnlinked(EventData):
    """An image left the influencer's reference images."""

    asset_id: AssetId


class InfluencerDeleted(EventData):
    """The influencer is gone; its id is never used again."""

    reason: str | None = None


class MediaAssetUploaded(EventData):
    """A client's file is stored."""

    asset_id: AssetId
    kind: Literal["image", "reference_image", "logo", "video", "audio"]
    mime_type: str
    size_bytes: int = Field(ge=0)
    sha256: str
    width: int | None = None
    height: int | None = None
    filename: str | None = None
    url: str
    thumbnail_url: str | None = None
    created_at: Timestamp


class ContentRequested(EventData):
    """An image of an influencer is wanted, as `brief` describes it.

    `influencerSequence` is how far the influencer's stream had come for whoever asked: the image is
    of the influencer as it was then, or later.
    """

    job_id: JobId
    influencer_id: InfluencerId
    brief: str
    influencer_sequence: int | None = Field(None, ge=1)


class ContentGenerated(EventData):
    """The image that was wanted is stored; the job is completed."""

    job_id: JobId
    influencer_id: InfluencerId
    image: ReferenceImage
    started_at: Timestamp | None = None


class ContentFailed(EventData):
    """The image could not be made; the job failed."""

    job_id: JobId
    influencer_id: InfluencerId
    error: JobError


_ALL: tuple[type[EventData], ...] = (
    InfluencerDrafted,
    InfluencerCreateRequested,
    InfluencerRenderRequested,
    InfluencerTrainingStarted,
    InfluencerImageRendered,
    InfluencerReady,
    InfluencerFailed,
    JobCanceled,
    InfluencerUpdated,
    ReferenceImagesLinked,
    ReferenceImageUnlinked,
    InfluencerDeleted,
    MediaAssetUploaded,
    ContentRequested,
    ContentGenerated,
    ContentFailed,
)

EVENT_TYPES = MappingProxyType({(model.event_type, model.version): model for model in _ALL})
"""(type, version) to its model: every version that was ever on the log."""

Upcaster = Callable[[Any], EventData]
"""From the data of one version to that of the next; pure."""

UPCASTERS: MappingProxyType[type[EventData], Upcaster] = MappingProxyType({})
"""The model of each version but a type's newest, to what lifts it by one version."""


class UndecodableEvent(ValueError):
    """A record that is not an event as we know it; `reason` says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownEventType(UndecodableEvent):
    """A well-formed event of a type or version this code does not know."""


@dataclass(slots=True)
class Event:
    """One event as it is on the log. Never changed: freezing it would cost 3 µs each."""

    id: str
    source: str
    subject: str
    time: Timestamp
    sequence: int
    organization_id: str
    project_id: str
    correlation_id: str
    causation_id: str
    traceparent: str
    data: EventData
    lifted_from: int | None = None
    """The version that the log has, where `data` was lifted from an older one."""

    @property
    def type(self) -> str:
        return self.data.event_type

    @property
    def version(self) -> int:
        """The version that the log has."""
        return self.lifted_from or self.data.version

    @property
    def key(self) -> str:
        return f"{self.organization_id}/{self.subject}"

    @property
    def dataschema(self) -> str:
        return dataschema(self.type, self.data.version)


class Reading(NamedTuple):
    """How the data of one version is read; `lifted_from` is None for a type's newest."""

    model: type[EventData]
    validate: Callable[[bytes], EventData]
    lifted_from: int | None


Readings = Mapping[tuple[str, str, str], Reading]
"""By `ce_specversion`, `ce_type` and `ce_dataschema`."""


def dataschema(event_type: str, version: int) -> str:
    """Which JSON Schema data keeps to, as `ce_dataschema` names it."""
    return f"/schemas/events/{event_type}/{version}.json"


def headers_of(event: Event) -> dict[str, str]:
    """The headers of `event`, in the order in which they are written."""
    return {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_time": event.time,
        "ce_dataschema": event.dataschema,
        "ce_sequence": str(event.sequence),
        "ce_organizationid": event.organization_id,
        "ce_projectid": event.project_id,
        "ce_correlationid": event.correlation_id,
        "ce_causationid": event.causation_id,
        "traceparent": event.traceparent,
        "content-type": "application/json",
    }


def value_of(event: Event) -> bytes:
    """The JSON of `data`, as it stands in the Kafka value."""
    return _json(event.data)


def _json(data: EventData) -> bytes:
    return data.model_dump_json(by_alias=True, exclude_none=True).encode()


def decode(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> Event:
    """The event of one Kafka record, its data in the newest version of its type.

    Raises UnknownEventType for a type or version from the future, UndecodableEvent for
    whatever else can't be read.
    """
    attributes = _text(headers)
    model, validate, lifted_from = _reading_of(attributes)
    try:
        return Event(
            attributes["ce_id"],
            attributes["ce_source"],
            attributes["ce_subject"],
            _time_of(attributes),
            _sequence_of(attributes),
            attributes["ce_organizationid"],
            attributes["ce_projectid"],
            attributes["ce_correlationid"],
            attributes["ce_causationid"],
            attributes.get("traceparent", ""),
            validate(value or b""),
            lifted_from,
        )
    except UndecodableEvent:
        raise
    except KeyError as missing:
        raise UndecodableEvent(f"header {missing.args[0]} is missing") from missing
    except ValidationError as fault:
        raise UndecodableEvent(f"data is not a {model.event_type}: {fault}") from fault
    except ValueError as fault:
        raise UndecodableEvent(str(fault)) from fault


def _text(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    try:
        return {name: value.decode() for name, value in headers}  # type: ignore[union-attr]
    except (UnicodeDecodeError, AttributeError) as fault:
        raise UndecodableEvent("a header is not UTF-8 text") from fault


def _sequence_of(attributes: dict[str, str]) -> int:
    text = attributes["ce_sequence"]
    if not _SEQUENCE.fullmatch(text):
        raise UndecodableEvent("ce_sequence is not a decimal from 1")
    return int(text)


def _time_of(attributes: dict[str, str]) -> Timestamp:
    text = attributes["ce_time"]
    if not _TIME.fullmatch(text):
        raise UndecodableEvent("ce_time is not RFC 3339 in UTC with milliseconds")
    return text


def _reading_of(attributes: dict[str, str]) -> Reading:
    try:
        return _READINGS[
            attributes["ce_specversion"], attributes["ce_type"], attributes["ce_dataschema"]
        ]
    except KeyError:
        raise _not_ours(attributes) from None


def _not_ours(attributes: dict[str, str]) -> UndecodableEvent:
    for name in ("ce_specversion", "ce_type", "ce_dataschema"):
        if name not in attributes:
            return UndecodableEvent(f"not a CloudEvent of ours: {name} is missing")
    if attributes["ce_specversion"] != "1.0":
        return UndecodableEvent("ce_specversion is not 1.0")
    return UnknownEventType(
        f"unknown type or version: {attributes['ce_type']}, {attributes['ce_dataschema']}"
    )


def newest_data(event_type: str, version: int, value: bytes) -> bytes:
    """`value`, the JSON of an event's data in `version`, as the newest version has it.

    Unchanged where it is the newest already, or of a type or version from the future.
    """
    reading = _READINGS.get(("1.0", event_type, dataschema(event_type, version)))
    if reading is None or reading.lifted_from is None:
        return value
    return _json(reading.validate(value))


def readings(
    models: Iterable[type[EventData]], upcasters: Mapping[type[EventData], Upcaster]
) -> Readings:
    """How each of `models` is read as the newest version of its type.

    Raises ValueError unless a type's versions count from 1, and each but the newest has its
    upcaster.
    """
    versions = {(model.event_type, model.version): model for model in models}
    if upcasters.keys() - versions.values():
        raise ValueError("An upcaster belongs to no version")
    return {
        ("1.0", name, dataschema(name, version)): _reading(model, versions, upcasters)
        for (name, version), model in versions.items()
    }


def _reading(
    model: type[EventData],
    versions: Mapping[tuple[str, int], type[EventData]],
    upcasters: Mapping[type[EventData], Upcaster],
) -> Reading:
    name, version = model.event_type, model.version
    if version > 1 and (name, version - 1) not in versions:
        raise ValueError(f"{name} has no version {version - 1}")
    steps = []
    while (name, version + 1) in versions:
        try:
            steps.append(upcasters[versions[name, version]])
        except KeyError:
            raise ValueError(f"{name} needs an upcaster from version {version}") from None
        version += 1
    if versions[name, version] in upcasters:
        raise ValueError(f"{name} has an upcaster from its newest version")
    validate = model.__pydantic_validator__.validate_json
    if not steps:
        return Reading(model, validate, None)
    return Reading(model, _lifting(model, steps), model.version)


def _lifting(model: type[EventData], steps: Iterable[Upcaster]) -> Callable[[bytes], EventData]:
    def read(value: bytes) -> EventData:
        data = model.model_validate_json(value)
        try:
            for step in steps:
                data = step(data)
        except Exception as fault:  # a bug may hold up its stream, never the others
            reason = f"data can't be lifted from version {model.version}: {fault!r}"
            raise UndecodableEvent(reason) from fault
        return data

    return read


_READINGS = readings(EVENT_TYPES.values(), UPCASTERS)
