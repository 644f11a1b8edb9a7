"""What can be asked of an influencer. Imperative; `decide` answers each with events."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from schemas.images import ReferenceImage
from schemas.jobs import JobError
from schemas.profile import Profile
from services.core.domain.state import DEFAULT_VIEWS


@dataclass(frozen=True, slots=True)
class Command:
    organization_id: str
    influencer_id: str

    @property
    def stream_id(self) -> str:
        return self.influencer_id


@dataclass(frozen=True, slots=True)
class DraftInfluencer(Command):
    project_id: str
    profile: Profile
    reference_images: tuple[ReferenceImage, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateInfluencer(Command):
    project_id: str
    job_id: str
    profile: Profile
    reference_images: tuple[ReferenceImage, ...] = ()
    source_influencer_id: str | None = None
    identity_id: str | None = None
    views: tuple[str, ...] = DEFAULT_VIEWS


@dataclass(frozen=True, slots=True)
class RenderInfluencer(Command):
    job_id: str
    views: tuple[str, ...] = DEFAULT_VIEWS


@dataclass(frozen=True, slots=True)
class StartTraining(Command):
    job_id: str
    backend: str


@dataclass(frozen=True, slots=True)
class RecordImage(Command):
    job_id: str
    index: int
    image: ReferenceImage


@dataclass(frozen=True, slots=True)
class CompleteJob(Command):
    job_id: str


@dataclass(frozen=True, slots=True)
class FailJob(Command):
    job_id: str
    error: JobError


@dataclass(frozen=True, slots=True)
class CancelJob(Command):
    job_id: str
    requested_by: str


@dataclass(frozen=True, slots=True)
class UpdateInfluencer(Command):
    """`changes` maps camelCase fields of the profile to new values; None clears."""

    changes: Mapping[str, JsonValue]
    expected_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class LinkReferenceImages(Command):
    images: tuple[ReferenceImage, ...]


@dataclass(frozen=True, slots=True)
class UnlinkReferenceImage(Command):
    asset_id: str


@dataclass(frozen=True, slots=True)
class DeleteInfluencer(Command):
    requested_by: str
    reason: str | None = None
    expected_sequence: int | None = None
