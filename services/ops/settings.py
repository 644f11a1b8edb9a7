"""What `influencerctl` reads from its environment; each command needs only its own part of it."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.core.eventlog.connection import KafkaSecurity, checked_servers
from services.core.eventlog.topics import TopicNames
from services.core.settings import DATABASE_URL, load_settings
from services.core.storage.store import ObjectStore, open_object_store
from services.ops.faults import OperatorMistake


class OperationsSettings(KafkaSecurity):
    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    kafka_bootstrap_servers: str | None = None
    kafka_topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", max_length=64)
    media_store_url: str | None = Field(None, description="as the services have it")
    renderer_lease: float = Field(6.0, ge=1, le=600, description="as the renderer has it")

    @property
    def database(self) -> str:
        """Raises OperatorMistake when it isn't set."""
        if self.database_url is None or not self.database_url.get_secret_value():
            raise OperatorMistake(f"DATABASE_URL is not set ({DATABASE_URL})")
        return self.database_url.get_secret_value()

    @property
    def kafka(self) -> str:
        """Raises OperatorMistake when it isn't set, or can't be read."""
        if not (self.kafka_bootstrap_servers or "").strip():
            raise OperatorMistake(
                "KAFKA_BOOTSTRAP_SERVERS is not set (host:port, several separated by commas)"
            )
        try:
            return checked_servers(self.kafka_bootstrap_servers or "")
        except ValueError as fault:
            raise OperatorMistake(f"KAFKA_BOOTSTRAP_SERVERS: {fault}") from None

    @property
    def media_store(self) -> ObjectStore:
        """Raises OperatorMistake when it isn't set, or is no store, and StorageUnavailable."""
        if not self.media_store_url:
            raise OperatorMistake(
                "MEDIA_STORE_URL is not set (file:///folder or s3://bucket/prefix)"
            )
        try:
            return open_object_store(self.media_store_url)
        except ValueError as fault:
            raise OperatorMistake(f"MEDIA_STORE_URL: {fault}") from None

    @property
    def topics(self) -> TopicNames:
        return TopicNames(self.kafka_topic_prefix)


def operations_settings() -> OperationsSettings:
    return load_settings(OperationsSettings)
