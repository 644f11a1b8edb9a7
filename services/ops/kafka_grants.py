"""What each service may do on Kafka, as access control lists: no more than it does."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from schemas.events import CONTENT_TOPIC, INFLUENCER_TOPIC
from services.core.eventlog.topics import TopicNames

Resource = Literal["topic", "group", "transactional-id", "cluster"]
Operation = Literal["all", "read", "write", "create", "describe", "describe-configs"]

SERVICES = ("api", "renderer", "projector", "content", "ops")


class Acl(NamedTuple):
    """`service` stands for its principal. `is_prefix`: of all whose names begin so."""

    service: str
    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False

    def command(self, principal: str) -> str:
        """As an operator types it; `principal` as Kafka writes it (`User:name`)."""
        target = "--cluster" if self.resource == "cluster" else f"--{self.resource} '{self.name}'"
        pattern = " --resource-pattern-type prefixed" if self.is_prefix else ""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        return f"kafka-acls --add --allow-principal {principal} {operations} {target}{pattern}"


def acls(names: TopicNames) -> Iterator[Acl]:
    """The api's relay alone writes events; only the operator makes topics."""
    relay = names.named("influencer-relay-")
    yield Acl("api", "transactional-id", relay, ("write", "describe"), is_prefix=True)
    for topic in names.events:
        yield Acl("api", "topic", topic, ("write", "describe"))
        yield Acl("projector", "topic", topic, ("read", "describe"))
    yield Acl("api", "topic", names.cursor, ("read", "write", "describe"))
    yield Acl("projector", "group", names.named("influencer-projector"), ("read",))
    yield Acl("renderer", "topic", names.influencer, ("read", "describe"))
    yield Acl("renderer", "group", names.named("influencer-renderer"), ("read",))
    for topic in (INFLUENCER_TOPIC, CONTENT_TOPIC):
        yield Acl("content", "topic", names.named(topic), ("read", "describe"))
    yield Acl("content", "group", names.named("influencer-content"), ("read",))
    resources: tuple[Resource, ...] = ("topic", "group", "transactional-id")
    for resource in resources:
        yield Acl("ops", resource, names.prefix or "*", ("all",), is_prefix=bool(names.prefix))
    yield Acl("ops", "cluster", "kafka-cluster", ("create", "describe", "describe-configs"))
