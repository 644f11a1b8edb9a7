"""Everything over TLS, each service with its own credentials; strangers are turned away."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from deploy.local.stack import Stack
from services.core.eventlog.topics import TopicNames
from services.core.postgres import open_pool
from tests.faults.system import System, build_system
from tests.integration.access.journey import Client
from tests.integration.access.secured import Secured, secured_stack
from tests.integration.ops.installation import Installation, copied_database

NAMES = TopicNames("walled.")


@pytest.fixture(scope="module")
async def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    async with (
        copied_database(stack.database_url, "template1") as database_url,
        secured_stack(database_url, folder) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def operations(secured: Secured) -> Installation:
    """Migrated over TLS; the topics are made by the operator's own user."""
    made = Installation(secured.database_url(), secured.kafka.bootstrap_servers, NAMES)
    await secured.allow(NAMES)
    for command in (["migrate"], ["grants", "--yes"], ["topics", "create"]):
        answer = await made.ctl_process(*command, **secured.kafka_environment("influencer-ops"))
        assert answer.status == 0, answer
    return made


@pytest.fixture
async def system(
    secured: Secured, operations: Installation, tmp_path: Path
) -> AsyncIterator[System]:
    url = secured.database_url()
    pool = await open_pool(url, size=2, application="test")
    stack = Stack(url, secured.kafka.bootstrap_servers)
    built = await build_system(stack, url, pool, NAMES, tmp_path)
    pool.terminate()
    built.add("content")
    for name, part in built.parts.items():
        own = secured.kafka_environment(f"influencer-{name}")
        part.environment = {**part.environment, **own}
    try:
        await built.start()
        yield built
    finally:
        # In a thread: the TLS that they still speak is ended by this one.
        await asyncio.to_thread(built.stop)


async def test_the_whole_chain_works_encrypted_and_with_access_lists(
    system: System, operations: Installation, secured: Secured
) -> None:
    async with aiohttp.ClientSession(headers={"X-Api-Key": system.api_key}) as session:
        client = Client(session, system)
        influencer_id = await client.creates()
        await client.asks_for_a_picture(influencer_id)
        await client.reads(influencer_id)
    own = secured.kafka_environment("influencer-ops")
    for command in (["lag"], ["verify"]):
        answer = await operations.ctl_process(*command, **own)
        assert answer.status == 0, answer


@pytest.mark.parametrize(
    "user", ["stranger", "influencer-renderer", "influencer-projector", "influencer-content"]
)
async def test_only_the_relay_may_write_events(
    secured: Secured, operations: Installation, user: str
) -> None:
    producer = AIOKafkaProducer(**secured.client_options(user), enable_idempotence=False)
    await producer.start()
    try:
        with pytest.raises(KafkaError) as refused:
            await producer.send_and_wait(NAMES.influencer, b"{}")
        assert isinstance(refused.value, TopicAuthorizationFailedError), refused.value
    finally:
        await producer.stop()


async def test_a_stranger_may_not_read_events(secured: Secured, operations: Installation) -> None:
    consumer = AIOKafkaConsumer(NAMES.influencer, **secured.client_options("stranger"))
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.start()
    finally:
        await consumer.stop()


async def test_kafka_refuses_a_wrong_password_and_a_client_an_unknown_authority(
    secured: Secured, tmp_path: Path
) -> None:
    wrong_password = {"sasl_plain_password": "wrong"}
    other_authority = {"ssl_context": ssl.create_default_context(cafile=_another(tmp_path))}
    for wrong in (wrong_password, other_authority):
        options = secured.client_options("influencer-api") | wrong
        producer = AIOKafkaProducer(**options)
        try:
            with pytest.raises(KafkaConnectionError):
                await producer.start()
        finally:
            await producer.stop()


async def test_postgres_takes_nothing_unencrypted_and_its_certificate_is_verified(
    secured: Secured, tmp_path: Path
) -> None:
    with pytest.raises((OSError, asyncpg.PostgresConnectionError)):
        await asyncpg.connect(f"{secured.postgres}?sslmode=disable")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(secured.database_url(_another(tmp_path)))
    by_another_name = secured.database_url().replace("@127.0.0.1:", "@localhost:")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(by_another_name)


def _another(folder: Path) -> Path:
    file = folder / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return file
