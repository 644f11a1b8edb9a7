"""What the api reads from its environment."""

from ipaddress import IPv4Address

from pydantic import Field, IPvAnyAddress, SecretStr
from pydantic_settings import SettingsConfigDict

from services.api.load_limit import LoadBounds, LoadLimit, LoadLimits
from services.core.settings import OPERATIONS_PORT, MediaSettings, Port


class ApiSettings(MediaSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    api_host: IPvAnyAddress = Field(
        IPv4Address("127.0.0.1"), description="address that the api listens on"
    )
    api_port: Port = Field(8080, description="port that the api listens on")
    api_operations_port: Port = Field(8083, description=OPERATIONS_PORT)
    api_run_relay: bool = Field(True, description="whether this process runs the relay too")
    api_outbox_limit: int = Field(
        1_000_000, ge=1, description="events that may wait for Kafka; beyond it requests get 503"
    )
    api_reads_at_once: int = Field(
        16, ge=4, le=1_000, description="reads that are worked on at once in this process"
    )
    api_writes_at_once: int = Field(
        40, ge=4, le=1_000, description="writes that are worked on at once in this process"
    )
    api_requests_waiting: int = Field(
        2_048, ge=1, le=10_000, description="reads, and writes, that wait; beyond it they get 503"
    )
    api_longest_wait: float = Field(
        1.0, gt=0, le=10, description="seconds a request waits to be worked on, then it gets 503"
    )
    database_reader_role: str = Field(
        "",
        pattern="^[a-z0-9_]*$",
        description="role under row-level security for reads (influencer_reader); empty: none",
    )
    relay_shard_count: int = Field(
        1, ge=1, le=256, description="parts of the outbox, each with a leader; the same everywhere"
    )
    media_signing_key: SecretStr = Field(
        min_length=32, description="32 characters at least; signs media URLs and cursors"
    )
    media_url_lifetime: int = Field(3600, ge=60, description="seconds a signed media URL is valid")

    def load_limits(self) -> LoadLimits:
        waiting, patience = self.api_requests_waiting, self.api_longest_wait
        return LoadLimits(
            LoadLimit("read", LoadBounds(self.api_reads_at_once, waiting, patience)),
            LoadLimit("write", LoadBounds(self.api_writes_at_once, waiting, patience)),
        )
