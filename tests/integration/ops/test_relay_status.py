"""`influencerctl outbox status` and `relay status`."""

from typing import Any

from tests.integration.ops.history import relaying
from tests.integration.ops.installation import Installation, execute
from tests.waiting import eventually

WAITING = """
insert into event_log.outbox (event_id, slot, topic, key, headers, value, created_at)
values ('evt_x', 1, 'influencer.events.v1', 'a/b', '{}', '{}', now() - interval '1 hour'),
       ('evt_y', 3, 'influencer.events.v1', 'a/b', '{}', '{}', now())
"""


async def test_leader_fencing_epochs_and_last_round(damageable: Installation) -> None:
    before = await damageable.ctl("relay", "status", "--json")
    assert before.status == 1, "nobody leads"
    (shard,) = before.json["shards"]
    assert shard["leader"] is None
    assert shard["lastRound"]["lastEventId"].startswith("evt_")
    assert shard["lastRound"]["lastEventMade"]
    assert len(shard["transactionalIds"]) == 3

    async with relaying(damageable):
        # As a process: the relay's own log lines would get into the output of one within.

        async def fenced() -> dict[str, Any] | None:
            answer = await damageable.ctl_process("relay", "status", "--json")
            (now,) = answer.json["shards"]
            return now if answer.status == 0 and epochs(now) == raised else None

        raised = [epoch + 1 for epoch in epochs(shard)]
        now = await eventually("the take-over has fenced every producer", fenced)
        leader = now["leader"]
        assert leader["application"].startswith("relay-0 ")
        assert leader["backendPid"] > 0
        shown = await damageable.ctl_process("relay", "status")
        assert (shown.status, shown.err) == (0, "")
        assert leader["application"].removeprefix("relay-0 ") in shown.out
        assert damageable.topics.named("influencer-relay-0-2") in shown.out


def epochs(shard: dict[str, Any]) -> list[int]:
    return [described["epoch"] for described in shard["transactionalIds"]]


async def test_what_waits_by_shard(damageable: Installation) -> None:
    await execute(damageable.database_url, "update event_log.relay_configuration set shard_count=2")
    calm = await damageable.ctl("outbox", "status", "--json")
    assert calm.status == 0
    assert calm.json == {
        "depth": 0,
        "ageSeconds": 0.0,
        "shards": [
            {"shard": shard, "depth": 0, "ageSeconds": 0.0, "oldestEventId": None}
            for shard in (0, 1)
        ],
    }
    await execute(damageable.database_url, WAITING)
    answer = await damageable.ctl("outbox", "status", "--json")
    assert answer.status == 1
    assert [shard["depth"] for shard in answer.json["shards"]] == [0, 2]
    assert answer.json["shards"][1]["oldestEventId"] == "evt_x"
    assert 3600 <= answer.json["ageSeconds"] < 3700
    patient = ("outbox", "status", "--max-age", "7200")
    assert (await damageable.ctl(*patient)).status == 0
    assert (await damageable.ctl(*patient, "--max", "2")).status == 0
    assert (await damageable.ctl(*patient, "--max", "1")).status == 1
    assert "evt_x" in (await damageable.ctl("outbox", "status")).out


async def test_before_any_relay_has_run(empty: Installation) -> None:
    answer = await empty.ctl("relay", "status")
    assert (answer.status, answer.out) == (1, "no relay has run yet\n")
    assert (await empty.ctl("outbox", "status")).status == 0
