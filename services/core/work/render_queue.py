"""The durable queue of render jobs, and what its entries say."""

from typing import ClassVar

from services.core.postgres import Pool
from services.core.work.queue import QueuePlace, WorkQueue
from services.core.work.task import Task

QUEUE_CHANNEL = "render_queue"
CANCEL_CHANNEL = "render_cancel"


class RenderTask(Task):
    """Which job, and why: `causation_id` is the id of the event that asked for it."""

    identifiers: ClassVar[tuple[str, ...]] = (*Task.identifiers, "influencer_id")

    influencer_id: str
    causation_id: str
    traceparent: str


PLACE = QueuePlace(
    schema="render_queue",
    channel=QUEUE_CHANNEL,
    cancel_channel=CANCEL_CHANNEL,
    entrypoint="render",
    task_type=RenderTask,
)


class RenderQueue(WorkQueue[RenderTask]):
    def __init__(self, pool: Pool, *, lease: float) -> None:
        super().__init__(pool, PLACE, lease=lease)
