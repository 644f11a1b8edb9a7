"""Topics of one test alone, which their names tell to be of this run."""

from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code

from services.core.eventlog.connection import kafka_options
from services.core.eventlog.topics import TopicNames, controller_known

RUN = uuid4().hex[:8]
OF_THIS_RUN = f"test-{RUN}-"


class TopicsNotDeleted(Exception):
    """Kafka refused; which, and why."""


def new_topic_names() -> TopicNames:
    return TopicNames(f"{OF_THIS_RUN}{uuid4().hex[:12]}.")


async def delete_topics(bootstrap_servers: str, prefix: str) -> None:
    """All whose names begin so."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, **kafka_options())
    try:
        await admin.start()
        await controller_known(admin)
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            answer = await admin.delete_topics(names)
            refused = [(name, for_code(code)) for name, code in answer.topic_error_codes if code]
            if refused:
                raise TopicsNotDeleted(refused)
    finally:
        await admin.close()
