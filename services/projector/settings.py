"""What the projector reads from its environment."""

from pydantic import Field

from services.core.settings import OPERATIONS_PORT, CoreSettings, Port


class ProjectorSettings(CoreSettings):
    projector_operations_port: Port = Field(8082, description=OPERATIONS_PORT)
    projector_instance: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]*$",
        max_length=64,
        description="this replica's lasting name: after a crash it has its partitions back at once",
    )
    projector_batch_size: int = Field(4000, ge=1, le=20_000, description="records a transaction")
    projector_stuck_after: float = Field(
        15.0,
        ge=10,
        le=3600,
        description="seconds without a move until it is stuck, if events wait",
    )
