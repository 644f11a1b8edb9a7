"""What a rebuild makes of a log that was written by hand: bad records, and very many."""

import asyncpg

from services.core.postgres import Connection, Pool
from services.core.readmodel.positions import Partition
from services.core.readmodel.rebuild import shadow
from services.core.readmodel.schema import NEXT
from services.core.replay.processes import carry_out_in_processes
from services.core.replay.reading import Span, log_spans
from tests.bench.histories import history, interleaved
from tests.integration.ops.history import projecting
from tests.integration.ops.installation import Installation
from tests.integration.projector.log import Log, encoded_headers
from tests.waiting import eventually

MEMORY = 128
EVENTS = 10_000
TIMES = 2
"""Each length is folded so often; the least counts: what a run takes more is the machine's."""
PARTITION = 3
QUARANTINE = """
select stream_key, record_offset, reason, repeated from read_model.quarantine
order by record_offset
"""
COUNT_REPEATED = "select count(*) from read_model.quarantine where repeated"


async def test_bad_and_repeated_records_come_to_what_the_projector_made_of_them(
    empty: Installation, pool: Pool
) -> None:
    sound, poisoned, gapped = (list(history()) for _ in range(3))
    async with Log(empty.bootstrap_servers, empty.topics) as log:
        await log.write(sound[:5], PARTITION)
        await log.write(poisoned[:3], PARTITION)
        value_cut_off = b'{"jobId": "job_'
        key = poisoned[0].key.encode()
        await log.write_raw(key, value_cut_off, encoded_headers(poisoned[3]), PARTITION)
        await log.write_raw(b"foreign", b"hello", [], PARTITION)
        await log.write([*sound[2:5], *poisoned[4:6], *gapped[:2], *gapped[3:]], PARTITION)
        await log.write([*sound[5:], *sound[:1]], PARTITION)
    async with projecting(empty, pool):

        async def all_is_projected() -> bool:
            rows = await pool.fetchval("select count(*) from read_model.events")
            repeated = await pool.fetchval(COUNT_REPEATED)
            return bool((rows, repeated) == (len(sound) + 3 + 2, 3 + 1))

        await eventually("all is projected", all_is_projected)
    before = await pool.fetch(QUARANTINE)
    parked = {row["stream_key"] for row in before if not row["repeated"]}
    assert parked == {poisoned[0].key, gapped[0].key, "foreign"}
    assert {row["stream_key"] for row in before if row["repeated"]} == {sound[0].key}

    checked = await empty.ctl("rebuild", "--dry-run", "--json")
    assert (checked.status, checked.json["differences"]) == (0, []), checked
    answer = await empty.ctl("rebuild", "--yes")
    assert answer.status == 0, answer
    assert await pool.fetch(QUARANTINE) == before


async def test_the_memory_of_a_worker_does_not_grow_with_the_log(empty: Installation) -> None:
    connection = await asyncpg.connect(empty.database_url)
    used: list[int] = []
    async with Log(empty.bootstrap_servers, empty.topics) as log:
        events = interleaved(EVENTS // 4)
        for _ in range(2):
            for _ in range(EVENTS // 1000):
                await log.write([next(events) for _ in range(1000)])
            used.append(min([await _folded(empty, connection) for _ in range(TIMES)]))
    folded = await connection.fetchval(f"select count(*) from {NEXT}.events")
    await connection.close()
    assert folded == 2 * EVENTS
    first, second = used
    assert second < first * 1.1, used
    assert second < MEMORY * 1.1, used


async def _folded(installation: Installation, connection: Connection) -> int:
    """MiB that a worker took for all of the log."""
    used: list[int] = []
    await shadow.drop(connection, NEXT)
    await shadow.create(connection, NEXT)
    spans = await log_spans(installation.bootstrap_servers, installation.topics.events)
    await carry_out_in_processes(
        "tests.integration.ops.measured_worker",
        [_order(installation, spans)],
        lambda _, mebibytes: used.append(mebibytes),
    )
    return used[0]


def _order(installation: Installation, spans: dict[Partition, Span]) -> dict[str, object]:
    return {
        "database": installation.database_url,
        "kafka": installation.bootstrap_servers,
        "schema": NEXT,
        "memory": MEMORY,
        "spans": [(*partition, *span) for partition, span in spans.items()],
    }
