"""REST errors: a body for each code, in both shapes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.base import WireModel, without_defaults
from schemas.ids import JobId, RequestId, UploadId

Messages = list[str]


class InvalidDetails(WireModel):
    """Every fault of the request at once: by dotted path, or of the whole body."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    field_errors: dict[str, Messages] = Field({}, json_schema_extra={"minProperties": 1})
    form_errors: Messages = Field([], min_length=1)


class ScopeDetails(WireModel):
    """What the key lacks."""

    required_scope: str


class ConflictDetails(WireModel):
    """Why a job can't be canceled, which job is in the way, or which upload has no bytes yet."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    subcode: Literal["JOB_CANCEL_UNAVAILABLE"] = "JOB_CANCEL_UNAVAILABLE"
    job_id: JobId = ""
    stage: str = ""
    upload_id: UploadId = ""


class LimitDetails(WireModel):
    """The limit that was met, where it is not one of requests."""

    limit: Literal["concurrentJobs"]


class PositionDetails(WireModel):
    """How far the record is; `minSequence` asked for more."""

    sequence: int = Field(ge=0)


class Instance(NamedTuple):
    """One answer with a code."""

    message: str
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A code of the contract; `example` is its details, `name` what its schemas are called.

    `others` are answers with that code which look different, by what they are about.
    """

    code: str
    status: int
    message: str
    when: str
    details: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    name: str = ""
    others: Mapping[str, Instance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            words = self.code.split("_")
            object.__setattr__(self, "name", "".join(word.capitalize() for word in words))


_FAULTS = (
    Fault(
        "UNAUTHENTICATED",
        401,
        "A valid API key is needed: in X-Api-Key, or as a bearer token.",
        "No key, or one that is malformed, unknown, revoked or expired.",
    ),
    Fault(
        "FORBIDDEN_SCOPE",
        403,
        "This key lacks the scope influencers:write.",
        "The key lacks the scope of this route.",
        ScopeDetails,
        {"requiredScope": "influencers:write"},
    ),
    Fault(
        "NOT_FOUND",
        404,
        "There is no such thing.",
        "There is no such thing in this organization.",
    ),
    Fault(
        "METHOD_NOT_ALLOWED",
        405,
        "PUT is not allowed here.",
        "This path knows other methods only; `Allow` names them.",
    ),
    Fault(
        "CONFLICT",
        409,
        "Influencer with this id already exists.",
        "What is there does not allow it: an id is taken, a job runs or can't be canceled.",
        ConflictDetails,
    ),
    Fault(
        "IDEMPOTENCY_CONFLICT",
        409,
        "This Idempotency-Key was used for a different request.",
        "The `Idempotency-Key` belongs to another request, or to one that is still running.",
    ),
    Fault(
        "PRECONDITION_FAILED",
        412,
        "The record has changed since the ETag in If-Match.",
        "`If-Match` does not match.",
    ),
    Fault(
        "PAYLOAD_TOO_LARGE",
        413,
        "The body is larger than 1048576 bytes.",
        "The body is too large.",
    ),
    Fault(
        "UNSUPPORTED_MEDIA_TYPE",
        415,
        "The body must be declared as application/json.",
        "The body isn't declared as JSON.",
    ),
    Fault(
        "VALIDATION",
        422,
        "Invalid body.",
        "A field, parameter or header is missing or invalid, or the body is not JSON.",
        InvalidDetails,
        {"fieldErrors": {"name": ["Required"], "personality.traits.0": ["Must be a string"]}},
    ),
    Fault(
        "RATE_LIMITED",
        429,
        "More than 20 long-running requests in a minute.",
        "Over a limit: of the key's requests in a minute, or of the organization's jobs at once.",
        LimitDetails,
        others={
            "jobs at once": Instance(
                "This organization has 20 jobs running, as many as it may.",
                {"limit": "concurrentJobs"},
            )
        },
    ),
    Fault("INTERNAL", 500, "Something went wrong on our side.", "A bug of ours."),
    Fault(
        "UNAVAILABLE",
        503,
        "A part of the service is down; try again.",
        "Something we depend on is down. A write has not happened, or is safe to repeat with the"
        " same `Idempotency-Key`.",
        PositionDetails,
        others={
            "not as far as minSequence": Instance(
                "A part of the service is down; try again.", {"sequence": 6}
            )
        },
    ),
)
FAULTS: Mapping[str, Fault] = MappingProxyType({fault.code: fault for fault in _FAULTS})
BAD_REQUEST = Fault(
    "VALIDATION",
    400,
    "The request is not valid HTTP.",
    "The request is not valid HTTP.",
    name="BadRequest",
)
RANGE_NOT_SATISFIABLE = Fault(
    "VALIDATION",
    416,
    "There is no such range.",
    "The range begins behind the end; `Content-Range` tells the size.",
    name="RangeNotSatisfiable",
)


def _details(fault: Fault) -> dict[str, Any]:
    if fault.details is None:
        return {}
    if fault.example is not None:  # they are always there
        return {"details": (fault.details, ...)}
    return {"details": (fault.details, Field(default_factory=fault.details))}


def _constant(text: str) -> Any:
    return Annotated[str, Field(json_schema_extra={"const": text})]


def envelope_model(fault: Fault) -> type[BaseModel]:
    """The contract's envelope with that code."""
    inner = create_model(
        f"{fault.name}Error",
        __base__=WireModel,
        __doc__=fault.when,
        code=(_constant(fault.code), ...),
        message=(Annotated[str, Field(min_length=1)], ...),
        request_id=(RequestId, ...),
        **_details(fault),
    )
    return create_model(
        f"{fault.name}Envelope", __base__=WireModel, __doc__=fault.when, error=(inner, ...)
    )


def problem_model(fault: Fault) -> type[BaseModel]:
    """The same as RFC 9457 has it."""
    return create_model(
        f"{fault.name}Problem",
        __base__=WireModel,
        __doc__=fault.when,
        type=(_constant(f"/errors/{fault.code.lower()}"), ...),
        title=(str, ...),
        status=(Annotated[int, Field(ge=400, le=599)], ...),
        detail=(str, ...),
        instance=(RequestId, ...),
        code=(_constant(fault.code), ...),
        request_id=(RequestId, ...),
        **_details(fault),
    )
