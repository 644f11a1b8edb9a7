"""Every refusal of the domain that a client can cause has an answer."""

import errno

import pytest

from services.api.errors import as_api_error
from services.core.domain.content import ContentAlreadyExists
from services.core.domain.errors import (
    CommandRefused,
    ImageNotExpected,
    ImagesMissing,
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
    IdempotencyClaim,
    IdempotencyKeyBusy,
    IdempotencyKeyReused,
)

CLAIM = IdempotencyClaim("organization", "POST /v1/x", "key", b"")

ANSWERS = [
    (InfluencerAlreadyExists("inf_x"), "CONFLICT", 409),
    (InfluencerNotFound("inf_x"), "NOT_FOUND", 404),
    (ReferenceImageNotFound("ast_x"), "NOT_FOUND", 404),
    (JobStillRunning("job_x"), "CONFLICT", 409),
    (JobCancelUnavailable("job_x", "finalizing"), "CONFLICT", 409),
    (JobEnded("job_x", None), "UNAVAILABLE", 503),
    (MediaAssetAlreadyExists("ast_x"), "UNAVAILABLE", 503),
    (ContentAlreadyExists("cnt_x"), "UNAVAILABLE", 503),
    (SequenceMismatch(1, 2), "PRECONDITION_FAILED", 412),
    (NameRequired("inf_x"), "VALIDATION", 422),
    (IdempotencyKeyReused(CLAIM), "IDEMPOTENCY_CONFLICT", 409),
    (IdempotencyKeyBusy(CLAIM), "IDEMPOTENCY_CONFLICT", 409),
    (DependencyUnavailable("postgres", "gone"), "UNAVAILABLE", 503),
    (AppendQueueFull(9), "UNAVAILABLE", 503),
    (TimeoutError(), "UNAVAILABLE", 503),
    (OSError(errno.ENOSPC, "No space left on device"), "UNAVAILABLE", 503),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "UNAVAILABLE", 503),
]
OF_THE_RENDERER = {ImageNotExpected, ImagesMissing}


@pytest.mark.parametrize(("fault", "code", "status"), ANSWERS, ids=lambda v: type(v).__name__)
def test_the_clients_view_of_a_fault(fault: Exception, code: str, status: int) -> None:
    error = as_api_error(fault)
    assert error is not None
    assert (error.code, error.status) == (code, status)
    assert ("Retry-After" in error.headers) == (
        status == 503 or isinstance(fault, IdempotencyKeyBusy)
    )
    assert "gone" not in error.text


def test_no_refusal_is_left_without_an_answer() -> None:
    answered = {type(fault) for fault, _, _ in ANSWERS}
    assert set(CommandRefused.__subclasses__()) - answered == OF_THE_RENDERER


def test_a_bug_has_no_answer_of_its_own() -> None:
    assert as_api_error(RuntimeError("secret")) is None
    assert as_api_error(PermissionError(errno.EACCES, "secret")) is None
