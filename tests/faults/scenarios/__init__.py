"""Every way in which the system is broken."""

from tests.faults.scenario import Scenario
from tests.faults.scenarios import (
    backends,
    broker_away,
    brokers,
    clients,
    clocks,
    cut_commits,
    disk_full,
    fail_points,
    kills,
    network,
    outbox_bound,
    postgres,
    produce_errors,
    rebalances,
    rebuilds,
    reversed_commits,
    zombies,
)

SCENARIOS: list[Scenario] = [
    *kills.SCENARIOS,
    *fail_points.SCENARIOS,
    *zombies.SCENARIOS,
    *broker_away.SCENARIOS,
    *outbox_bound.SCENARIOS,
    *produce_errors.SCENARIOS,
    *network.SCENARIOS,
    *brokers.SCENARIOS,
    *postgres.SCENARIOS,
    *cut_commits.SCENARIOS,
    *disk_full.SCENARIOS,
    *rebuilds.SCENARIOS,
    *backends.SCENARIOS,
    *rebalances.SCENARIOS,
    *clients.SCENARIOS,
    *clocks.SCENARIOS,
    *reversed_commits.SCENARIOS,
]
