"""Postgres behind TLS, and a Kafka that takes nothing unencrypted and believes nobody."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from deploy.local.kafka import LocalKafka
from deploy.local.ports import LOOPBACK, any_free_port
from deploy.local.stack import cache_directory
from services.core.eventlog.topics import TopicNames
from services.ops.kafka_grants import SERVICES, acls
from tests.faults.proxy import Proxy, listening

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
BROKER = "broker"
MECHANISM = "SCRAM-SHA-512"
LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
ALLOW, ANY_HOST, LITERAL, PREFIXED = 3, "*", 3, 4
RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
OPERATIONS = {"all": 2, "read": 3, "write": 4, "create": 5, "describe": 8, "describe-configs": 10}


@dataclass
class Secured:
    """`postgres` is its URL without options; `passwords` are by Kafka's user.

    Both servers' certificates are signed by `ca`.
    """

    postgres: str
    kafka: LocalKafka
    ca: Path
    passwords: Mapping[str, str] = field(default_factory=dict)

    def database_url(self, ca: Path | None = None) -> str:
        return f"{self.postgres}?sslmode=verify-full&sslrootcert={ca or self.ca}"

    def kafka_environment(self, user: str) -> dict[str, str]:
        return {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_USERNAME": user,
            "KAFKA_PASSWORD": self.passwords[user],
            "KAFKA_CA_FILE": str(self.ca),
        }

    def client_options(self, user: str, **others: object) -> dict[str, object]:
        return {
            "bootstrap_servers": self.kafka.bootstrap_servers,
            "security_protocol": "SASL_SSL",
            "ssl_context": create_ssl_context(cafile=str(self.ca)),
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": self.passwords[user],
            **others,
        }

    async def allow(self, names: TopicNames) -> None:
        """What `influencerctl grants --kafka` prints, as the broker's own user."""
        client = AIOKafkaAdminClient(**self.client_options(BROKER))
        await client.start()
        try:
            for acl in acls(names):
                for operation in acl.operations:
                    wanted = CreateAclsRequest(
                        RESOURCES[acl.resource],
                        acl.name,
                        PREFIXED if acl.is_prefix else LITERAL,
                        f"User:influencer-{acl.service}",
                        ANY_HOST,
                        OPERATIONS[operation],
                        ALLOW,
                    )
                    answer = await client._send_to_controller(wanted)
                    assert all(code == 0 for code, _ in answer.creation_responses), answer
        finally:
            await client.close()


@asynccontextmanager
async def secured_stack(database_url: str, folder: Path) -> AsyncIterator[Secured]:
    """`database_url` is where Postgres is without TLS."""
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    certificate = authority.issue_cert(LOOPBACK)
    users = (BROKER, "stranger", *(f"influencer-{service}" for service in SERVICES))
    passwords = {user: secrets.token_hex(16) for user in users}
    with _kafka(folder, certificate, ca, passwords) as kafka:
        port = urlsplit(database_url).port
        assert port is not None
        async with _encrypted(port, certificate) as encrypted:
            place = database_url.replace(f":{port}/", f":{encrypted}/")
            yield Secured(place, kafka, ca, passwords)


@asynccontextmanager
async def _encrypted(port: int, certificate: trustme.LeafCert) -> AsyncIterator[int]:
    """TLS in front of Postgres on `port`, as a pooler ends it: the wheel's build has none itself.

    Whoever doesn't begin with an SSLRequest is cut off.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async with listening(_Encrypted(port, context=context)) as proxy:
        yield proxy.port


@dataclass
class _Encrypted(Proxy):
    context: ssl.SSLContext | None = None

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
                assert self.context
                writer.write(b"S")
                await writer.start_tls(self.context)
                await super()._connect(reader, writer)


def _kafka(
    folder: Path, certificate: trustme.LeafCert, ca: Path, passwords: Mapping[str, str]
) -> LocalKafka:
    port, controller_port = any_free_port(), any_free_port()
    listener = f"SASL_SSL://{LOOPBACK}:{port}"
    store = folder / "kafka.pem"
    store.write_bytes(_pkcs8(certificate) + certificate.cert_chain_pems[0].bytes())
    credentials = f'username="{BROKER}" password="{passwords[BROKER]}"'
    settings = {
        "listeners": f"{listener},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": listener,
        "inter.broker.listener.name": "SASL_SSL",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            f"{LOGIN_MODULE} required {credentials};"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The one node speaks to itself as controller there.
        "super.users": f"User:{BROKER};User:ANONYMOUS",
    }
    scram = [f"{MECHANISM}=[name={user},password={word}]" for user, word in passwords.items()]
    return LocalKafka(
        folder / "kafka",
        cache=cache_directory(),
        port=port,
        controller_port=controller_port,
        settings=settings,
        format_options=[part for user in scram for part in ("--add-scram", user)],
    )


def _pkcs8(certificate: trustme.LeafCert) -> bytes:
    """Kafka reads keys in no other form."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
