"""Growth is what goes on after the warm-up, by more than is allowed."""

from random import Random

from tests.faults.growth import ALLOWANCES, MEBIBYTE, Allowance, Growth


def test_what_is_flat_or_warms_up_is_allowed() -> None:
    noise = Random(7)
    flat = [100 * MEBIBYTE + noise.random() * 5 * MEBIBYTE for _ in range(60)]
    warming = [MEBIBYTE * min(100, 10 * place) for place in range(60)]
    for samples in (flat, warming, [20.0] * 3, [1.0]):
        assert not Growth.of(samples).exceeds(ALLOWANCES["memory"])


def test_a_slope_is_not_whatever_single_samples_say() -> None:
    growing = [100 + float(place) for place in range(60)]
    growing[-1] = 0.0
    assert Growth.of(growing).exceeds(Allowance(5, 0.1))
    assert not Growth.of([*[50.0] * 59, 5000.0]).exceeds(Allowance(5, 0.1))
