"""What the content service reads from its environment."""

from pydantic import Field

from services.core.rendering.backend_choice import BackendName
from services.core.settings import OPERATIONS_PORT, MediaSettings, Port


class ContentSettings(MediaSettings):
    content_operations_port: Port = Field(8084, description=OPERATIONS_PORT)
    renderer_backend: BackendName = Field("drawing", description="as the renderer has it")
    content_instance: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]*$",
        max_length=64,
        description="this replica's lasting name: after a crash it has its partitions back at once",
    )
    content_concurrency: int = Field(2, ge=1, le=64, description="jobs at a time")
    content_max_attempts: int = Field(5, ge=1, le=100, description="renders of a failing job")
    content_max_starts: int = Field(
        30, ge=1, le=1000, description="starts of a job, also of one that ends its worker"
    )
    content_retry_delay: float = Field(
        1.0,
        gt=0,
        le=600,
        description="seconds until a failed render is tried again; doubles",
    )
    content_retry_delay_limit: float = Field(
        60.0, gt=0, le=3600, description="seconds; of waiting for a busy backend too"
    )
    content_busy_limit: float = Field(
        6 * 3600.0,
        ge=0,
        le=30 * 24 * 3600,
        description="seconds that a job waits for a backend that is busy, before it fails",
    )
    content_image_timeout: float = Field(
        60.0, gt=0, le=3600, description="seconds that the backend has for an image"
    )
    content_lease: float = Field(
        6.0, ge=1, le=600, description="seconds until a silent worker's job is taken over"
    )
    content_poll_interval: float = Field(
        1.0,
        gt=0,
        le=60,
        description="seconds between looks at the queue, beside notifications",
    )
    content_hang_timeout: int = Field(
        30, ge=5, le=600, description="seconds until a process that hangs is ended"
    )
