"""What every service reads from its environment, validated at start, all faults at once."""

import sys
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    AnyUrl,
    Field,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.core.eventlog.connection import KafkaSecurity, checked_servers
from services.core.storage.urls import checked_store_url

DATABASE_URL = "postgresql://user:password@host:port/database"
DATABASE_SCHEMES = ("postgresql://", "postgres://")


def _checked_database_url(url: SecretStr) -> SecretStr:
    try:
        TypeAdapter(PostgresDsn).validate_python(url.get_secret_value())
    except ValidationError:  # its words may hold a part of the password
        raise ValueError(f"must be {DATABASE_URL}") from None
    if not url.get_secret_value().startswith(DATABASE_SCHEMES):
        raise ValueError(f"must be {DATABASE_URL}")
    return url


Port = Annotated[int, Field(ge=1, le=65535)]
OPERATIONS_PORT = "where `/livez`, `/readyz` and `/metrics` listen"
DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database_url)]
KafkaServers = Annotated[str, AfterValidator(checked_servers)]
StoreUrl = Annotated[str, AfterValidator(checked_store_url)]


class CoreSettings(KafkaSecurity):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: DatabaseUrl = Field(description=f"`{DATABASE_URL}`")
    kafka_bootstrap_servers: KafkaServers = Field(
        description="`host:port`, several separated by commas"
    )
    kafka_topic_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]*$",
        max_length=64,
        description="before the names of topics and groups, where installations share a Kafka",
    )
    operations_host: str = Field("127.0.0.1", description="address of the operations port")
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    )
    database_pool_size: int = Field(
        10, ge=2, le=200, description="connections to Postgres that a process keeps at most"
    )


class MediaSettings(CoreSettings):
    """For services that store or serve image bytes."""

    media_store_url: StoreUrl = Field(
        description="where images are: `file:///folder`, `s3://bucket/prefix`, `memory://` in tests"
    )
    public_base_url: AnyUrl = Field(description="the api as clients reach it; begins image URLs")

    @property
    def base_url(self) -> str:
        return str(self.public_base_url).rstrip("/")


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings_type: type[S]) -> S:
    """The settings from the environment; ends the process with every fault named if any is off."""
    try:
        return settings_type()
    except ValidationError as faults:
        named = [f"  {_described(fault)}" for fault in faults.errors()]
        sys.stderr.write("\n".join(["The environment is not as it must be:", *named, ""]))
        raise SystemExit(2) from None


def _described(fault: ErrorDetails) -> str:
    variable = str(fault["loc"][0]).upper()
    return f"{variable}: {fault['msg'].removeprefix('Value error, ')}"
