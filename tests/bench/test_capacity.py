"""The capacity plan: Erlang's formula against known values and a simulation."""

import heapq

import numpy as np
import pytest

from bench.scale.capacity import erlang_c, plan, wait_ms


@pytest.mark.parametrize(
    ("load", "cores", "expected"), [(0.5, 1, 0.5), (8, 10, 0.4092), (18, 20, 0.5508), (1, 2, 1 / 3)]
)
def test_the_probability_of_a_wait_is_that_of_the_tables(load: float, cores: int, expected: float) -> None:
    assert erlang_c(load, cores) == pytest.approx(expected, abs=5e-4)


def test_the_quantile_is_that_of_a_simulated_queue() -> None:
    random = np.random.default_rng(7)
    load, cores, cost_ms, count = 3.2, 4, 10.0, 60_000
    arrivals = np.cumsum(random.exponential(cost_ms / load, count))
    costs = random.exponential(cost_ms, count)
    free, waits = [0.0] * cores, []
    for arrival, cost in zip(arrivals, costs, strict=True):
        begin = max(arrival, heapq.heappop(free))
        waits.append(begin - arrival)
        heapq.heappush(free, begin + cost)
    assert wait_ms(load, cores, cost_ms) == pytest.approx(float(np.quantile(waits, 0.99)), rel=0.1)


def test_a_plan_survives_the_failure_of_a_machine() -> None:
    made = plan(10_000, 0.45)
    assert made.machines == 2 and made.cores == 32
    assert made.utilisation == pytest.approx(10_000 * 0.45e-3 / 16)
    assert plan(1, 0.45).machines == 2
    assert plan(1, 0.45).wait_p99_ms == 0.0
    for rate in (100, 5_000, 70_000):
        assert plan(rate, 10.5).utilisation <= 0.6
