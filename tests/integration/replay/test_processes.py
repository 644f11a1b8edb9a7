"""Workers report while they work, fail aloud, and never outlive their master."""

import pytest

from services.core.errors import DependencyUnavailable
from services.core.replay.processes import WorkerFailed, carry_out_in_processes

WORKER = "tests.integration.replay.counting_worker"


async def test_every_order_is_carried_out_and_reported() -> None:
    heard: list[tuple[int, object]] = []
    await carry_out_in_processes(WORKER, [{"to": 3}, {"to": 2}], lambda *said: heard.append(said))
    assert sorted(heard) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ({"raises": "bug"}, WorkerFailed),
        ({"raises": "unavailable"}, DependencyUnavailable),
        ({"raises": "death"}, WorkerFailed),
    ],
)
async def test_a_fault_of_one_ends_all(order: object, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        await carry_out_in_processes(WORKER, [order, {"waits": True}], lambda _, __: None)
