"""Whoever judges is judged: a service with a promise broken on purpose is found out."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from services.ops.checker.facts import RULES as RULES_OF_THE_CHECKER
from tests.faults.arena import LoadShape
from tests.faults.breaks import (
    hammer,
    kill_at,
    refuse_records,
    succeed_a_stopped_projector,
    succeed_a_stopped_relay,
    work,
)
from tests.faults.mutants import MUTANTS
from tests.faults.proxy import Proxy
from tests.faults.rules import RULES, rule_of
from tests.faults.scenario import Break, Scenario, play
from tests.faults.scenarios.reversed_commits import commit_in_reverse
from tests.faults.soak import soak
from tests.faults.system import System

SEED = 20261124
QUICK = LoadShape(clients=4, pause=0.05, pollers=6, jobs_end_within=8.0, settles_within=8.0)
PLANTED = Path(__file__).parents[1] / "unit"
"""Where rules are held to made-up logs, rows, journals and reads."""

Mutants = dict[str, tuple[str, ...]]
"""The rules that each must break, all of them."""


@dataclass(frozen=True)
class Cast:
    """Mutants that play together, since none of them breaks a rule of another's."""

    name: str
    mutants: Mutants
    break_it: Break
    faults: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def rules(self) -> set[str]:
        return {rule for each in self.mutants.values() for rule in each}


COMPARED = ("verify-differs", "rebuild-differs")
"""Rules of the operator's commands, which take seconds."""
CASTS = (
    Cast(
        "answers",
        {
            "idempotency-keys-are-forgotten": ("answers-disagree", "repeated-answer-differs"),
            "unavailable-without-retry-after": ("unavailable-without-retry-after",),
            "progress-falls": ("progress-fell",),
            "images-are-stored-broken": ("image-bytes-differ",),
            "projector-changes-rows": ("influencer-differs", "verify-differs", "rebuild-differs"),
        },
        work,
        40,
    ),
    Cast(
        "writes",
        {
            "append-answers-and-forgets": ("accepted-but-missing",),
            "refusals-leave-something": ("refused-but-logged",),
            "feed-leaves-events-out": ("feed-gap", "feed-incomplete"),
            "images-are-named-and-not-stored": ("image-missing",),
        },
        work,
        40,
    ),
    Cast(
        "queues",
        {
            "pending-rows-are-not-written": ("accepted-but-not-there",),
            "relay-mangles-rows": ("outbox-row-differs",),
            "errors-get-out": ("error-of-the-server",),
            "ingest-drops-some": ("job-never-ended", "jobs-run-on"),
            "reader-commits-nothing": ("consumer-behind",),
        },
        work,
        20,
    ),
    Cast(
        "orders",
        {
            "relay-reverses-rows": ("sequence-out-of-order",),
            "cancel-is-not-final": ("event-after-job-ended", "job-ended-twice"),
        },
        work,
        60,
    ),
    Cast(
        "gaps",
        {"relay-drops-some-rows": ("sequence-gap", "outbox-row-not-on-log", "backlog-stays")},
        work,
        20,
    ),
    Cast(
        "cursor",
        {"relay-skips-the-cursor": ("sequence-repeated",)},
        kill_at("api", "relay.after_commit"),
        1,
    ),
    Cast(
        "reverse",
        {"relay-resumes-by-id": ("outbox-not-empty", "backlog-stays")},
        commit_in_reverse,
        1,
    ),
    Cast(
        "deleted",
        {"relay-deletes-before-it-publishes": ("outbox-row-not-on-log",)},
        kill_at("api", "mutant.between"),
        1,
    ),
    Cast(
        "produce-error",
        {"relay-commits-without-looking": ("outbox-row-not-on-log",)},
        refuse_records,
        1,
    ),
    Cast("fencing", {"relay-is-not-fenced": ("sequence-repeated",)}, succeed_a_stopped_relay, 1),
    Cast("lock", {"append-without-the-lock": ("sequence-repeated",)}, hammer, 3),
    Cast("overwritten", {"projector-overwrites-newer-rows": ("read-before-write",)}, hammer, 4),
    Cast(
        "position-first",
        {"projector-moves-its-position-first": ("history-row-missing",)},
        kill_at("projector", "mutant.between"),
        1,
    ),
    Cast(
        "compare-and-set",
        {"projector-does-not-compare-positions": ("position-behind", "consumer-behind")},
        succeed_a_stopped_projector,
        1,
        {"PROJECTOR_STUCK_AFTER": "600"},  # or it would notice, and read its position again
    ),
)
LEAKING = Cast("leaks", {"requests-leak": ("grows",)}, work, 0)
"""Is soaked instead."""
SOAKED_SECONDS = 25.0


def test_every_mutant_is_tried() -> None:
    tried = [name for cast in (*CASTS, LEAKING) for name in cast.mutants]
    assert sorted(tried) == sorted(name for each in MUTANTS.values() for name in each)


def test_mutants_that_play_together_are_told_apart() -> None:
    for cast in CASTS:
        assert sum(map(len, cast.mutants.values())) == len(cast.rules), cast.name


def test_every_rule_is_broken_by_a_mutant_or_in_a_planted_log() -> None:
    by_mutants = set[str]().union(*(cast.rules for cast in (*CASTS, LEAKING)))
    planted = "".join(
        file.read_text()
        for pattern in ("ops/test_checker_*.py", "faults/test_*.py")
        for file in PLANTED.glob(pattern)
    )
    by_hand = set(re.findall(r'"([a-z]+(?:-[a-z]+)*)"', planted))
    assert by_mutants <= RULES | RULES_OF_THE_CHECKER
    assert (RULES | RULES_OF_THE_CHECKER) - by_mutants - by_hand == set()


@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
async def test_a_broken_promise_is_noticed(
    cast: Cast, stack: Stack, template_database: str, tmp_path: Path
) -> None:
    network = partial(mutated, tuple(cast.mutants))
    scenario = Scenario(
        cast.name,
        cast.break_it,
        shape=QUICK,
        network=network,
        environment=cast.environment,
        is_compared=not cast.rules.isdisjoint(COMPARED),
    )
    played = await play(
        scenario,
        stack,
        tmp_path,
        seed=SEED,
        faults=cast.faults,
        template=template_database,
    )
    violations = played.verdict.violations
    found = {rule_of(violation) for violation in violations}
    missed = {
        name: set(rules) - found for name, rules in cast.mutants.items() if set(rules) - found
    }
    assert not missed, violations[:20]


@pytest.mark.parametrize("leaks", [False, True], ids=["as it is", "with a leak"])
async def test_a_soak_notices_what_grows(
    leaks: bool, stack: Stack, template_database: str, tmp_path: Path
) -> None:
    told: list[str] = []
    violations = await soak(
        stack,
        tmp_path,
        seconds=SOAKED_SECONDS,
        seed=SEED,
        every=0.5,
        tell=told.append,
        network=partial(mutated, tuple(LEAKING.mutants)) if leaks else None,
        template=template_database,
    )
    assert len(told) > 15
    found = {rule_of(violation) for violation in violations}
    assert found == ({"grows"} if leaks else set()), (violations, told)


@asynccontextmanager
async def mutated(
    names: tuple[str, ...], system: System, stack: Stack
) -> AsyncIterator[Mapping[str, Proxy]]:
    """The services are mutants from their first start on."""
    for service, known in MUTANTS.items():
        wanted = ",".join(name for name in names if name in known)
        if wanted:
            module = ("tests.faults.mutants", wanted, f"services.{service}")
            system.parts[service].module = module
    yield {}
