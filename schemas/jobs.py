"""What a job is: its kinds, its statuses, why one failed."""

from typing import Literal, get_args

from pydantic import Field

from schemas.base import WireModel

JobKind = Literal["influencer_create", "influencer_clone", "influencer_render", "content_generate"]
JobStatus = Literal["running", "completed", "failed", "canceled"]
JobStage = Literal["queued", "rendering", "finalizing", "done"]
InfluencerStatus = Literal["draft", "pending", "training", "ready", "failed", "deleted"]

JobErrorCode = Literal[
    "RENDER_REJECTED",
    "RENDER_TIMEOUT",
    "RENDER_BACKEND_ERROR",
    "SEED_UNREADABLE",
    "INFLUENCER_FAILED",
    "INFLUENCER_DELETED",
]


class JobError(WireModel):
    """Why a job failed, and whether the same request may work later; new codes will come."""

    code: str = Field(json_schema_extra={"x-extensible-enum": list(get_args(JobErrorCode))})
    message: str
    retryable: bool
