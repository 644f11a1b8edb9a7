"""What an entry of the content queue says, and where the queue is."""

from typing import ClassVar

from schemas.base import Timestamp
from schemas.jobs import JobError
from services.core.work.queue import QueuePlace
from services.core.work.task import Task

QUEUE_CHANNEL = "content_queue"
CANCEL_CHANNEL = "content_cancel"


class ContentTask(Task):
    """A job that waits for nothing any more: since the event `causation_id` of `released_at`.

    With an `error` there is nothing to make: the job has failed with its influencer.
    """

    identifiers: ClassVar[tuple[str, ...]] = (*Task.identifiers, "content_id")

    content_id: str
    project_id: str
    influencer_id: str
    brief: str
    causation_id: str
    traceparent: str
    released_at: Timestamp
    error: JobError | None = None


PLACE = QueuePlace(
    schema="content",
    channel=QUEUE_CHANNEL,
    cancel_channel=CANCEL_CHANNEL,
    entrypoint="content",
    task_type=ContentTask,
)
