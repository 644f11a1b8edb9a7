"""What is read is exactly what was committed between two offsets, whatever lies between."""

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.stack import Stack
from services.core.errors import DependencyUnavailable
from services.core.eventlog.topics import TopicNames
from services.core.readmodel.positions import Partition
from services.core.replay.reading import LogIncomplete, Span, log_spans, read_chunks, shares
from tests.bench.histories import interleaved
from tests.integration.projector.log import Log


@pytest.fixture
def partition(topics: TopicNames) -> Partition:
    return Partition(topics.influencer, 3)


async def read_ids(stack: Stack, spans: dict[Partition, Span], size: int = 1000) -> list[str]:
    return [
        dict(record.headers)["ce_id"].decode()
        async for chunk in read_chunks(stack.bootstrap_servers, spans, size=size)
        for record in chunk.records
    ]


async def test_reads_what_is_committed_up_to_the_high_watermark(
    stack: Stack, topics: TopicNames, partition: Partition
) -> None:
    events = list(interleaved(12))
    async with Log(stack.bootstrap_servers, topics) as log:
        for start in range(0, 96, 8):
            await log.write(events[start : start + 8], partition.partition)
            await log.write_aborted(events[start : start + 2])
    # At once: the last markers may not be written yet.
    spans = await log_spans(stack.bootstrap_servers, [topics.influencer])
    assert await read_ids(stack, spans, size=7) == [event.id for event in events]


async def test_says_where_to_read_on(
    stack: Stack, topics: TopicNames, partition: Partition
) -> None:
    events = list(interleaved(5))
    async with Log(stack.bootstrap_servers, topics) as log:
        for event in events:
            await log.write([event], partition.partition)
    end = (await log_spans(stack.bootstrap_servers, [topics.influencer]))[partition].end
    ids, position = [], 0
    while position < end:
        async for chunk in read_chunks(
            stack.bootstrap_servers, {partition: Span(position, end)}, size=7
        ):
            ids += [dict(record.headers)["ce_id"].decode() for record in chunk.records]
            position = chunk.positions[partition]
            break
    assert ids == [event.id for event in events]


async def test_keeps_to_the_end_that_was_given(
    stack: Stack, topics: TopicNames, partition: Partition
) -> None:
    events = list(interleaved(3))
    async with Log(stack.bootstrap_servers, topics) as log:
        await log.write(events, partition.partition)
    assert await read_ids(stack, {partition: Span(5, 9)}) == [event.id for event in events[5:9]]


async def test_an_undecided_transaction_is_not_waited_for_without_end(
    stack: Stack, topics: TopicNames, partition: Partition
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.bootstrap_servers, transactional_id=topics.named("undecided")
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(partition.topic, b"{}", partition=partition.partition)
        spans = await log_spans(stack.bootstrap_servers, [topics.influencer])
        assert spans[partition] == Span(0, 1)
        chunks = read_chunks(stack.bootstrap_servers, spans, size=10, stalled_after=0.5)
        with pytest.raises(DependencyUnavailable, match=r"the end of .* can't be read"):
            await anext(chunks)
        await producer.abort_transaction()
        assert await read_ids(stack, spans) == []
    finally:
        await producer.stop()


async def test_a_topic_that_is_missing_is_named(stack: Stack) -> None:
    with pytest.raises(LogIncomplete, match="no topic missing"):
        await log_spans(stack.bootstrap_servers, ["missing"])


def test_shares_are_about_equal() -> None:
    spans = {Partition("events", n): Span(0, length) for n, length in enumerate((50, 30, 20, 10))}
    dealt = shares(spans, 2)
    assert [sum(span.length for span in share.values()) for share in dealt] == [60, 50]
    assert {**dealt[0], **dealt[1]} == spans
    assert shares(spans, 9) == [{partition: span} for partition, span in spans.items()]
