"""How Kafka is reached: by whom, and who it is believed to be. The same for every client here.

Read from the environment of the process, which worker processes inherit: wherever the brokers'
addresses are handed on, these belong to them.
"""

import re
import ssl
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_SSL"]
_SERVER = re.compile(r"(\[[^\]\s]+\]|[^\s:,]+)(:[0-9]{1,5})?")


def checked_servers(text: str) -> str:
    """The brokers' addresses, separated by commas. Raises ValueError."""
    servers = [server.strip() for server in text.split(",")]
    for server in servers:
        if not _SERVER.fullmatch(server):
            raise ValueError(f"{server!r} is not host:port")
    return ",".join(servers)


class KafkaSecurity(BaseSettings):
    """A password never goes over a connection that isn't encrypted, so SASL_PLAINTEXT is none."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    kafka_security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="`PLAINTEXT`, `SSL` or `SASL_SSL`"
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="`SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`"
    )
    kafka_username: str = Field("", description="for `SASL_SSL`")
    kafka_password: SecretStr = Field(SecretStr(""), description="for `SASL_SSL`")
    kafka_ca_file: FilePath | None = Field(
        None, description="PEM; without it, the system's authorities are believed"
    )

    # Of each field and not of the whole: that would only be looked at once all else is right.
    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _is_given_for_sasl(cls, value: str | SecretStr, others: ValidationInfo) -> str | SecretStr:
        if others.data.get("kafka_security_protocol") == "SASL_SSL" and not len(value):
            raise ValueError("is needed, since KAFKA_SECURITY_PROTOCOL is SASL_SSL")
        return value

    @field_validator("kafka_ca_file")
    @classmethod
    def _holds_certificates(cls, file: Path | None) -> Path | None:
        if file is not None:
            try:
                ssl.create_default_context(cafile=file)
            except OSError:
                raise ValueError("holds no certificates in PEM") from None
        return file

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Verifies the broker's certificate and name. None: not encrypted."""
        if self.kafka_security_protocol == "PLAINTEXT":
            return None
        return ssl.create_default_context(cafile=self.kafka_ca_file)

    def client_options(self) -> dict[str, Any]:
        """What any client of aiokafka takes."""
        if self.kafka_security_protocol == "PLAINTEXT":
            return {}
        options: dict[str, Any] = {
            "security_protocol": self.kafka_security_protocol,
            "ssl_context": self.ssl_context,
        }
        if self.kafka_security_protocol == "SASL_SSL":
            options |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_username,
                "sasl_plain_password": self.kafka_password.get_secret_value(),
            }
        return options


@cache
def kafka_security() -> KafkaSecurity:
    """Of this process. A service has validated it at its start, with all its settings."""
    return KafkaSecurity()


@cache
def kafka_options() -> dict[str, Any]:
    return kafka_security().client_options()
