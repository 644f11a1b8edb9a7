"""What the checker works on: plain records in, violations out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INFLUENCER_TOPIC = "influencer.events.v1"
MEDIA_TOPIC = "media.events.v1"
CONTENT_TOPIC = "content.events.v1"
TOPICS = (INFLUENCER_TOPIC, MEDIA_TOPIC, CONTENT_TOPIC)

RULES = frozenset(
    (
        "accepted-but-missing",
        "accepted-on-another-stream",
        "answers-disagree",
        "asset-row-differs",
        "asset-row-missing",
        "asset-row-unexpected",
        "correlation-is-not-the-job",
        "creation-is-not-first",
        "data-incomplete",
        "data-unreadable",
        "deleted-without-cancel",
        "event-after-deletion",
        "event-after-job-ended",
        "event-id-repeated",
        "failure-code-unknown",
        "header-malformed",
        "header-missing",
        "header-repeated",
        "history-row-differs",
        "history-row-missing",
        "history-row-unexpected",
        "image-bytes-differ",
        "image-index-out-of-range",
        "image-index-repeated",
        "image-missing",
        "image-total-wrong",
        "influencer-differs",
        "influencer-row-missing",
        "influencer-row-unexpected",
        "job-ended-twice",
        "job-id-malformed",
        "job-never-ended",
        "job-never-started",
        "job-of-another-influencer",
        "job-on-two-streams",
        "job-row-differs",
        "job-row-missing",
        "job-row-unexpected",
        "job-started-twice",
        "jobs-overlap",
        "key-is-not-the-stream",
        "log-record-not-from-outbox",
        "nobody-asked-for",
        "outbox-not-empty",
        "outbox-row-differs",
        "outbox-row-not-on-log",
        "position-behind",
        "position-beyond-end",
        "project-changed",
        "quarantined",
        "ready-before-all-images",
        "ready-names-other-images",
        "refused-but-logged",
        "schema-of-another-type",
        "sequence-gap",
        "sequence-out-of-order",
        "sequence-repeated",
        "stream-differs",
        "stream-of-another-topic",
        "stream-on-two-partitions",
        "stream-row-missing",
        "stream-row-unexpected",
        "thumbnail-missing",
        "type-of-another-topic",
    )
)
"""Whatever the checker may say is broken."""

StreamKey = tuple[str, str]
"""Organization id and the id of an influencer, a media asset or a content."""

Place = tuple[str, int]
"""Topic, without a prefix, and partition."""

Rows = Sequence[Mapping[str, Any]]


class Record(NamedTuple):
    """A Kafka record as it is on the log."""

    partition: int
    offset: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    value: bytes | None
    topic: str = INFLUENCER_TOPIC


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: one of RULES, on which key, where on the log (if it is there)."""

    rule: str
    key: str
    detail: str
    partition: int | None = None
    offset: int | None = None
    topic: str = ""

    def __post_init__(self) -> None:
        assert self.rule in RULES, self.rule


class LoggedEvent(NamedTuple):
    """An event whose envelope could be read; `value` is its data as the log spells it."""

    topic: str
    partition: int
    offset: int
    id: str
    type: str
    subject: str
    organization_id: str
    project_id: str
    sequence: int
    time: str
    version: int
    correlation_id: str
    causation_id: str
    value: bytes
    data: dict[str, Any]

    @property
    def stream(self) -> StreamKey:
        return (self.organization_id, self.subject)

    @property
    def key(self) -> str:
        return f"{self.organization_id}/{self.subject}"

    def violates(self, rule: str, detail: str) -> Violation:
        return Violation(rule, self.key, detail, self.partition, self.offset, self.topic)


class JournalEntry(NamedTuple):
    """A call that was sent, or what a client was answered.

    `outcome`: accepted, refused or unknown, which a call is until it is answered. Lines with one
    `idempotency_key` are of one request, in their order. An answer may say the `sequence` that its
    stream has reached, and `caused_event`: there must be one, by `request_id`.
    """

    outcome: str
    organization_id: str | None
    stream_id: str | None
    job_id: str | None
    idempotency_key: str | None = None
    request_id: str | None = None
    sequence: int | None = None
    caused_event: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """`complete`: it names every request that could have led to an event."""

    entries: Sequence[JournalEntry]
    complete: bool = False


# Without a repr: asyncio.run makes one of what it returns, and that of a whole log takes seconds.
@dataclass(frozen=True, slots=True, repr=False)
class DatabaseContents:
    """The rows that must agree with the log, as Postgres gave them.

    `data` of `history` may be as Postgres spells it, or read.
    """

    outbox: Rows = ()
    streams: Rows = ()
    influencers: Rows = ()
    jobs: Rows = ()
    assets: Rows = ()
    history: Rows = ()
    quarantine: Rows = ()
    positions: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class LogContents:
    """All topics. `ends`: the offset behind each partition's last committed record."""

    records: Sequence[Record]
    ends: Mapping[Place, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowances:
    """What a system that is still at work may show."""

    running_jobs: bool = False
    waiting_outbox: bool = False
    lagging_projector: bool = False
