"""The window against a model that remembers every request; and what a key is told."""

from collections.abc import Iterable
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.api.errors import RateLimited
from services.api.rate_limits import GRAIN, LIMITS, WINDOW, Allowance, LimitClass, RateLimits
from services.core.controlplane import TIERS, ApiKey, Tier

LIMIT = 20
START = 1_000.0


def seconds(least: float, most: float) -> some.SearchStrategy[float]:
    """In steps that sums of floats hold exactly."""
    return some.integers(int(least * 1024), int(most * 1024)).map(lambda steps: steps / 1024)


pauses = some.lists(
    some.one_of(seconds(0, 0.3), seconds(0, 5), seconds(WINDOW - 2, WINDOW + 2)), max_size=200
)


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Key:
    """A key of the standard tier that starts jobs: `LIMIT` a minute."""

    def __init__(self, time: Time | None = None) -> None:
        self.time = time or Time()
        self.limits = RateLimits(self.time)

    def allowance(self) -> Allowance:
        return self.limits.allowance(key_of("standard"), "long")

    def is_admitted(self) -> bool:
        try:
            self.allowance().charge()
        except RateLimited:
            return False
        return True

    def use_up(self) -> None:
        for _ in range(LIMIT):
            self.allowance().charge()

    def shown(self, name: str) -> int:
        return int(shown(self.allowance())[f"X-RateLimit-{name}"])


def key_of(tier: Tier) -> ApiKey:
    return ApiKey("key_1", b"", "organization", "Acme", ("*",), tier, None, None)


def shown(allowance: Allowance) -> dict[str, str]:
    return {str(name): value for name, value in allowance.headers().items()}


def admitted_at(key: Key, pauses: Iterable[float]) -> list[float]:
    admitted = []
    for pause in pauses:
        key.time.now += pause
        if key.is_admitted():
            admitted.append(key.time.now)
    return admitted


@given(pauses)
def test_no_minute_has_more_than_the_limit(pauses: list[float]) -> None:
    admitted = admitted_at(Key(), pauses)
    for first, one_too_many in zip(admitted, admitted[LIMIT:], strict=False):
        assert one_too_many - first >= WINDOW


@given(pauses)
def test_what_is_refused_had_the_limit_used_in_the_minute_and_a_second_before(
    pauses: list[float],
) -> None:
    key, admitted = Key(), list[float]()
    for pause in pauses:
        key.time.now += pause
        if key.is_admitted():
            admitted.append(key.time.now)
        else:
            counted = [at for at in admitted if at > key.time.now - WINDOW - GRAIN]
            assert len(counted) >= LIMIT


@given(pauses)
def test_after_the_seconds_of_the_refusal_the_next_is_admitted_and_none_the_second_before(
    pauses: list[float],
) -> None:
    key = Key()
    admitted_at(key, pauses)
    while key.is_admitted():
        pass
    with pytest.raises(RateLimited) as refusal:
        key.allowance().charge()
    wait = int(refusal.value.headers["Retry-After"])
    assert 1 <= wait <= WINDOW
    key.time.now += wait - 1
    assert wait == 1 or not key.is_admitted()
    key.time.now += 1
    assert key.is_admitted()


@given(pauses, some.integers(1, 50))
def test_a_refusal_changes_nothing(pauses: list[float], refusals: int) -> None:
    key = Key()
    admitted_at(key, pauses)
    while key.is_admitted():
        pass
    before = shown(key.allowance())
    assert not any(key.is_admitted() for _ in range(refusals))
    assert shown(key.allowance()) == before


@given(pauses)
def test_what_is_given_back_costs_nothing(pauses: list[float]) -> None:
    key = Key()
    for pause in pauses:
        key.time.now += pause
        before = key.shown("Remaining")
        if before:
            held = key.allowance()
            held.charge()
            assert key.shown("Remaining") == before - 1
            held.give_back()
            held.give_back()
            assert key.shown("Remaining") == before
        key.is_admitted()


def test_what_is_given_back_after_it_left_the_window_changes_nothing() -> None:
    key = Key()
    held = key.allowance()
    held.charge()
    key.time.now += WINDOW
    key.use_up()
    held.give_back()
    assert key.shown("Remaining") == 0
    assert not key.is_admitted()


def test_a_key_is_told_what_is_left_and_when_there_will_be_more() -> None:
    key = Key()
    assert shown(key.allowance()) == {
        "X-RateLimit-Limit": "20",
        "X-RateLimit-Remaining": "20",
        "X-RateLimit-Reset": "0",
        "X-RateLimit-Endpoint-Class": "long-running",
        "RateLimit-Policy": '"long-running";q=20;w=60',
        "RateLimit": '"long-running";r=20;t=0',
    }
    key.allowance().charge()
    key.time.now += 9.5
    key.allowance().charge()
    assert shown(key.allowance()) == {
        "X-RateLimit-Limit": "20",
        "X-RateLimit-Remaining": "18",
        "X-RateLimit-Reset": "51",
        "X-RateLimit-Endpoint-Class": "long-running",
        "RateLimit-Policy": '"long-running";q=20;w=60',
        "RateLimit": '"long-running";r=18;t=51',
    }


def test_a_refusal_names_the_reset_that_its_headers_show() -> None:
    key = Key()
    key.use_up()
    key.time.now += 12.3
    refused = key.allowance()
    with pytest.raises(RateLimited) as refusal:
        refused.charge()
    key.time.now += 5  # the answer is a while on its way
    assert refusal.value.headers["Retry-After"] == shown(refused)["X-RateLimit-Reset"] == "48"


def test_the_contracts_table() -> None:
    read, write, long = get_args(LimitClass)
    assert {tier: [LIMITS[tier].get(c) for c in (read, write, long)] for tier in TIERS} == {
        "standard": [120, 60, 20],
        "pilot": [1_200, 600, 60],
        "partner": [6_000, 3_000, 300],
        "internal": [None, None, None],
    }


def test_classes_are_apart() -> None:
    key = Key()
    key.use_up()
    assert not key.is_admitted()
    key.limits.allowance(key_of("standard"), "read").charge()
    key.limits.allowance(key_of("standard"), "write").charge()


def test_the_internal_tier_has_no_limit_and_costs_no_memory() -> None:
    limits = RateLimits(Time())
    allowance = limits.allowance(key_of("internal"), "long")
    for _ in range(1_000):
        allowance.charge()
    assert shown(allowance) == {"X-RateLimit-Endpoint-Class": "long-running"}
    assert limits.window_count == 0


def test_a_window_is_forgotten_when_nothing_in_it_counts() -> None:
    key = Key()
    key.allowance().charge()
    key.limits.forget()
    assert key.limits.window_count == 1
    key.time.now += WINDOW
    key.limits.forget()
    assert key.limits.window_count == 0


@given(some.lists(some.tuples(some.booleans(), seconds(0, 3), some.booleans()), max_size=60))
def test_replicas_that_tell_one_another_all_show_the_same(
    steps: list[tuple[bool, float, bool]],
) -> None:
    time = Time()
    replicas = (Key(time), Key(time))
    for which, pause, gives_back in steps:
        time.now += pause
        mine, other = replicas[which], replicas[not which]
        allowance = mine.allowance()
        try:
            allowance.charge()
        except RateLimited:
            continue
        if gives_back:
            allowance.give_back()
        tell(mine, other)
        assert mine.shown("Remaining") == other.shown("Remaining")


def test_what_is_told_is_not_told_again_nor_passed_on() -> None:
    time = Time()
    here, there = Key(time), Key(time)
    here.use_up()
    tell(here, there)
    assert there.shown("Remaining") == 0
    assert here.limits.take_unpublished() == []
    assert there.limits.take_unpublished() == []


def test_more_than_the_limit_over_several_replicas_is_worked_off() -> None:
    time = Time()
    here, there = Key(time), Key(time)
    here.use_up()
    time.now += 10
    there.use_up()
    tell(there, here)
    assert (here.shown("Remaining"), here.shown("Reset")) == (0, WINDOW)


def test_a_refund_that_is_told_late_is_counted_once() -> None:
    time = Time()
    here, there = Key(time), Key(time)
    held = here.allowance()
    held.charge()
    tell(here, there)
    time.now += 30
    there.allowance().charge()
    held.give_back()
    tell(here, there)
    assert there.shown("Remaining") == LIMIT - 1


def tell(teller: Key, listener: Key) -> None:
    for charged in teller.limits.take_unpublished():
        listener.limits.add_published(*charged)


def test_moments_within_a_slot_leave_together_after_the_last_of_them() -> None:
    key = Key()
    at = admitted_at(key, [0, GRAIN / 4, GRAIN / 4])
    assert all(later - earlier < GRAIN for earlier, later in pairwise(at))
    key.time.now = at[-1] + WINDOW - 0.01
    assert key.shown("Remaining") == LIMIT - 3
    key.time.now = at[-1] + WINDOW
    assert key.shown("Remaining") == LIMIT
