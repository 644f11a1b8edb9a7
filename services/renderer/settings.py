"""What the renderer reads from its environment."""

import socket

from pydantic import Field

from services.core.rendering.backend_choice import BackendName
from services.core.settings import OPERATIONS_PORT, MediaSettings, Port


def _first_on_this_host() -> str:
    return f"{socket.gethostname()}-0"


class RendererSettings(MediaSettings):
    renderer_operations_port: Port = Field(8081, description=OPERATIONS_PORT)
    renderer_backend: BackendName = Field("drawing", description="`drawing`, or `module:factory`")
    renderer_instance_id: str = Field(
        default_factory=_first_on_this_host,
        json_schema_extra={"default": "HOSTNAME-0"},
        pattern=r"^[a-zA-Z0-9._-]{1,200}$",
        description="stays the same over restarts, differs between replicas",
    )
    renderer_concurrency: int = Field(2, ge=1, le=64, description="jobs at a time")
    renderer_parallel_images: int = Field(2, ge=1, le=16, description="images of a job at a time")
    renderer_max_attempts: int = Field(5, ge=1, le=100, description="renders of a failing job")
    renderer_max_starts: int = Field(
        30, ge=1, le=1000, description="starts of a job, also of one that ends its worker"
    )
    renderer_retry_delay: float = Field(
        1.0,
        gt=0,
        le=600,
        description="seconds until a failed render is tried again; doubles",
    )
    renderer_retry_delay_limit: float = Field(
        60.0, gt=0, le=3600, description="seconds; of waiting for a busy backend too"
    )
    renderer_busy_limit: float = Field(
        6 * 3600.0,
        ge=0,
        le=30 * 24 * 3600,
        description="seconds that a job waits for a backend that is busy, before it fails",
    )
    renderer_image_timeout: float = Field(
        60.0, gt=0, le=3600, description="seconds that the backend has for an image"
    )
    renderer_lease: float = Field(
        6.0, ge=1, le=600, description="seconds until a silent worker's job is taken over"
    )
    renderer_poll_interval: float = Field(
        1.0,
        gt=0,
        le=60,
        description="seconds between looks at the queue, beside notifications",
    )
    renderer_hang_timeout: int = Field(
        30, ge=5, le=600, description="seconds until a process that hangs is ended"
    )
    renderer_stuck_after: float = Field(
        20.0,
        ge=10,
        le=3600,
        description="seconds without a move until it is stuck, if events wait",
    )
