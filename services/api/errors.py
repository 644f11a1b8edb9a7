"""Every error a client can get: one type each, with its code, status and details."""

import errno
from collections.abc import Mapping
from typing import Any, ClassVar

from services.core.domain.content import ContentAlreadyExists
from services.core.domain.errors import (
    CommandRefused,
    InfluencerAlreadyExists,
    InfluencerNotFound,
    JobCancelUnavailable,
    JobEnded,
    JobStillRunning,
    NameRequired,
    ReferenceImageNotFound,
    SequenceMismatch,
)
from services.core.domain.media import MediaAssetAlreadyExists
from services.core.errors import DependencyUnavailable
from services.core.eventlog.requests import (
    AppendQueueFull,
    IdempotencyKeyBusy,
    IdempotencyKeyReused,
    TooManyJobs,
)
from services.core.storage.errors import StorageUnavailable

JOB_ENDS_WITHIN = 2
"""Seconds; about the time in which one of many jobs ends."""

FieldErrors = Mapping[str, list[str]]
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class ApiError(Exception):
    """An answer other than 2xx."""

    code: ClassVar[str] = "INTERNAL"
    status: int = 500
    message: ClassVar[str] = "Something went wrong on our side."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or self.message)
        self.text = message or self.message
        self.details = details
        self.headers = headers or {}


class Unauthenticated(ApiError):
    code, status = "UNAUTHENTICATED", 401
    message = "A valid API key is needed: in X-Api-Key, or as a bearer token."

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class ForbiddenScope(ApiError):
    code, status = "FORBIDDEN_SCOPE", 403

    def __init__(self, required_scope: str) -> None:
        super().__init__(
            f"This key lacks the scope {required_scope}.",
            details={"requiredScope": required_scope},
        )


class NotFound(ApiError):
    code, status = "NOT_FOUND", 404
    message = "There is no such thing."


class MethodNotAllowed(ApiError):
    code, status = "METHOD_NOT_ALLOWED", 405

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(
            f"{method} is not allowed here.", headers={"Allow": ", ".join(sorted(allowed))}
        )


class Conflict(ApiError):
    code, status = "CONFLICT", 409


class IdempotencyConflict(ApiError):
    code, status = "IDEMPOTENCY_CONFLICT", 409
    message = "This Idempotency-Key was used for a different request."


class PreconditionFailed(ApiError):
    code, status = "PRECONDITION_FAILED", 412
    message = "The record has changed since the ETag in If-Match."


class PayloadTooLarge(ApiError):
    code, status = "PAYLOAD_TOO_LARGE", 413

    def __init__(self, maximum: int) -> None:
        super().__init__(f"The body is larger than {maximum} bytes.")


class UnsupportedMediaType(ApiError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", 415
    message = "The body must be declared as application/json."


class Invalid(ApiError):
    code, status = "VALIDATION", 422
    message = "Invalid request."

    def __init__(
        self,
        *,
        fields: FieldErrors | None = None,
        form: list[str] | None = None,
        message: str = "Invalid body.",
    ) -> None:
        faults = {"fieldErrors": fields, "formErrors": form}
        super().__init__(message, details={k: v for k, v in faults.items() if v})


class UnknownReference(Invalid):
    """A field names something that is not there, or not there any more."""


class BadHttp(ApiError):
    """What HTTP itself has a status for, such as a request that is none, keeps that status."""

    code, status = "VALIDATION", 400
    message = "The request is not valid HTTP."

    def __init__(
        self,
        status: int = 400,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, headers=headers)
        self.status = status


class RateLimited(ApiError):
    code, status = "RATE_LIMITED", 429

    def __init__(
        self, message: str, *, retry_after: int, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, details=details, headers={"Retry-After": str(retry_after)})


class Unavailable(ApiError):
    code, status = "UNAVAILABLE", 503
    message = "A part of the service is down; try again."

    def __init__(self, retry_after: int = 1, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(details=details, headers={"Retry-After": str(retry_after)})


class Overloaded(Unavailable):
    """More is asked for than can be done; nothing was done for this one."""

    message = "Too much is asked of the service just now; try again."


def as_api_error(fault: Exception) -> ApiError | None:
    """The client's view of a fault from below; None when it is a bug of ours."""
    match fault:
        case ApiError():
            return fault
        case CommandRefused():
            return _refused(fault)
        case TooManyJobs():
            return RateLimited(
                f"This organization has {fault.limit} jobs running, as many as it may.",
                retry_after=JOB_ENDS_WITHIN,
                details={"limit": "concurrentJobs"},
            )
        case IdempotencyKeyReused():
            return IdempotencyConflict()
        case IdempotencyKeyBusy():
            return IdempotencyConflict(
                "The first request with this Idempotency-Key is still running.",
                headers={"Retry-After": "1"},
            )
        case DependencyUnavailable():
            return Unavailable(fault.retry_after)
        case AppendQueueFull() | StorageUnavailable() | TimeoutError():
            return Unavailable()
        case OSError() if fault.errno in NO_SPACE:
            return Unavailable()
    return None


def _refused(refusal: CommandRefused) -> ApiError | None:
    match refusal:
        case InfluencerAlreadyExists():
            return Conflict("Influencer with this id already exists.")
        case InfluencerNotFound() | ReferenceImageNotFound():
            return NotFound()
        case JobStillRunning():
            return Conflict(
                "A job of this influencer is running.", details={"jobId": refusal.job_id}
            )
        case JobCancelUnavailable():
            return Conflict(
                "The job can no longer be canceled.",
                details={
                    "subcode": "JOB_CANCEL_UNAVAILABLE",
                    "jobId": refusal.job_id,
                    "stage": refusal.stage,
                },
            )
        case JobEnded() | MediaAssetAlreadyExists() | ContentAlreadyExists():
            # Ended, and followed by another job, since its row was read: repeating it tells how.
            return Unavailable()
        case SequenceMismatch():
            return PreconditionFailed()
        case NameRequired():
            return Invalid(fields={"name": ["Must not be null"]})
    return None
