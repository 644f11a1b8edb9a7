"""What an operation's description is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from schemas.faults import Instance

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

Tag = Literal["Influencers", "Jobs", "Media", "Content", "Events", "Account"]


@dataclass(frozen=True, slots=True)
class Link:
    """Where to go from an answer: `parameters` by name, as runtime expressions."""

    operation_id: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is not an error. `headers` name those it has beside the usual ones.

    `stream` is an example of it as an event stream, where a client may ask for that instead;
    `files` are the media types of one that is bytes.
    """

    status: int
    description: str
    model: type[BaseModel] | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    links: Mapping[str, Link] = field(default_factory=dict)
    media_type: str = JSON
    stream: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestBody:
    model: type[BaseModel]
    examples: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """`parameters` beside those of the path; `faults` are codes beside those every route has.

    `examples_of_faults` are by code, and by what each is about. `takes` are media types of a body
    that is bytes. `needs` says what opens it where that is not, or not only, a key.
    """

    operation_id: str
    tag: Tag
    summary: str
    description: str
    replies: tuple[Reply, ...]
    body: RequestBody | None = None
    parameters: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    examples_of_faults: Mapping[str, Mapping[str, Instance]] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    needs: str | None = None
