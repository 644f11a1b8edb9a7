"""Why a command is refused. Each is a type with its data; none changes anything."""

from schemas.jobs import JobStage, JobStatus


class CommandRefused(Exception):
    """The state does not allow the command."""


class InfluencerAlreadyExists(CommandRefused):
    def __init__(self, influencer_id: str) -> None:
        super().__init__(f"influencer {influencer_id} already exists")
        self.influencer_id = influencer_id


class InfluencerNotFound(CommandRefused):
    def __init__(self, influencer_id: str) -> None:
        super().__init__(f"influencer {influencer_id} does not exist")
        self.influencer_id = influencer_id


class JobStillRunning(CommandRefused):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is still running")
        self.job_id = job_id


class JobEnded(CommandRefused):
    """The job has ended, or another one has followed it (`status` is None then)."""

    def __init__(self, job_id: str, status: JobStatus | None) -> None:
        super().__init__(f"job {job_id} has ended")
        self.job_id = job_id
        self.status = status


class JobCancelUnavailable(CommandRefused):
    def __init__(self, job_id: str, stage: JobStage) -> None:
        super().__init__(f"job {job_id} is {stage}, too late to cancel")
        self.job_id = job_id
        self.stage = stage


class ImageNotExpected(CommandRefused):
    """The image is recorded already, or the job has no view of that index."""

    def __init__(self, job_id: str, index: int) -> None:
        super().__init__(f"job {job_id} does not miss image {index}")
        self.job_id = job_id
        self.index = index


class ImagesMissing(CommandRefused):
    def __init__(self, job_id: str, indexes: tuple[int, ...]) -> None:
        super().__init__(f"job {job_id} still misses images {indexes}")
        self.job_id = job_id
        self.indexes = indexes


class NameRequired(CommandRefused):
    """An influencer always has a name; it can be changed, not cleared."""

    def __init__(self, influencer_id: str) -> None:
        super().__init__(f"the name of influencer {influencer_id} can't be cleared")
        self.influencer_id = influencer_id


class ReferenceImageNotFound(CommandRefused):
    def __init__(self, asset_id: str) -> None:
        super().__init__(f"{asset_id} is not a reference image of this influencer")
        self.asset_id = asset_id


class SequenceMismatch(CommandRefused):
    """The caller decided on an older state of the stream than there is."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"expected sequence {expected}, the stream is at {actual}")
        self.expected = expected
        self.actual = actual


class ImpossibleEvent(Exception):
    """An event that no decision could have led to from this state: a damaged history."""

    def __init__(self, event_type: str, reason: str) -> None:
        super().__init__(f"{event_type}: {reason}")
        self.event_type = event_type
        self.reason = reason


class SequenceGap(ImpossibleEvent):
    def __init__(self, event_type: str, expected: int, actual: int) -> None:
        super().__init__(event_type, f"expected sequence {expected}, got {actual}")
        self.expected = expected
        self.actual = actual
