"""`influencerctl topics`: made once, and told when they are not as they must be."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.integration.ops.installation import Answer, Installation
from tests.topics import new_topic_names
from tests.waiting import eventually


async def as_they_must_be(installation: Installation) -> Answer:
    """The listing, once the broker knows what was created."""

    async def listed() -> Answer | None:
        answer = await installation.ctl("topics", "list", "--json")
        return answer if answer.status == 0 else None

    return await eventually("the topics are known", listed)


async def test_made_once_and_listed(sound: Installation) -> None:
    new = sound.moved(topics=new_topic_names())
    before = await new.ctl("topics", "list", "--json")
    assert before.status == 1
    assert {fault for topic in before.json["topics"] for fault in topic["faults"]} == {"missing"}

    dry = await new.ctl("topics", "create", "--dry-run")
    assert (dry.status, dry.out.count("missing ")) == (0, 4)
    assert (await new.ctl("topics", "list")).status == 1, "none was made"
    made = await new.ctl("topics", "create", "--json")
    assert made.status == 0
    assert [topic["created"] for topic in made.json["topics"]] == [True] * 4
    again = await new.ctl("topics", "create")
    assert (again.status, again.out.count("exists ")) == (0, 4)

    listed = (await as_they_must_be(new)).json["topics"]
    assert [topic["partitions"] for topic in listed] == [12, 12, 12, 1]
    assert listed[0]["configuration"]["retention.ms"] == "-1"
    assert listed[3]["configuration"]["cleanup.policy"] == "compact"


async def test_a_configuration_that_is_off_is_named(empty: Installation) -> None:
    await as_they_must_be(empty)

    async def altered() -> bool:
        return (await empty.ctl("topics", "list")).status == 1

    admin = AIOKafkaAdminClient(bootstrap_servers=empty.bootstrap_servers)
    await admin.start()
    short = {"cleanup.policy": "delete", "retention.ms": "3600000"}
    resource = ConfigResource(ConfigResourceType.TOPIC, empty.topics.influencer, short)
    await admin.alter_configs([resource])
    await admin.close()
    await eventually("the broker keeps less", altered)
    answer = await empty.ctl("topics", "list", "--json")
    assert answer.status == 1
    faults = {topic["name"]: topic["faults"] for topic in answer.json["topics"]}
    assert faults[empty.topics.influencer] == ["retention.ms is 3600000, must be -1"]
    assert "retention.ms is 3600000" in (await empty.ctl("topics", "list")).out
    status = await empty.ctl("status", "--json")
    assert status.json["parts"]["kafka"]["state"] == "wrong"


async def test_another_number_of_shards_is_named(empty: Installation) -> None:
    await as_they_must_be(empty)
    answer = await empty.ctl("topics", "list", "--shards", "2", "--json")
    assert answer.status == 1
    assert answer.json["topics"][3]["faults"] == ["1 partitions, must be 2"]


async def test_kafka_away_is_one_line(sound: Installation) -> None:
    away = sound.moved(bootstrap_servers="127.0.0.1:1")
    for command in ("create", "list"):
        answer = await away.ctl("topics", command)
        assert (answer.status, answer.out, answer.err.count("\n")) == (3, "", 1)


async def test_servers_that_cannot_be_read_are_wrong_usage(sound: Installation) -> None:
    for servers in ("", "host:port", "a:1,,b:2", "a b"):
        answer = await sound.moved(bootstrap_servers=servers).ctl("topics", "list")
        assert (answer.status, answer.err.count("\n")) == (2, 1)
        assert answer.err.startswith("KAFKA_BOOTSTRAP_SERVERS")
