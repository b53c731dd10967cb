"""Cores, machines and waiting times for a load: `python -m bench.scale.capacity --rate 10000 --cost-ms 0.45`.

A request costs some milliseconds of one core. With `rate` requests per second the cores are busy for the share

    utilisation = rate * cost / cores

and the plan has enough cores to keep it at or below a target, on whole machines, and one machine more than that, which
may fail. The waiting time is that of the queue M/M/c on the cores of one machine (Erlang's C formula; A. K. Erlang
1917), because a request stays on its machine. Real texts have less varied costs than the model, and batches are cheaper
than single texts, so it errs on the safe side.
"""

import argparse
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Machines for a load."""

    machines: int
    """One of them may fail."""
    cores: int
    utilisation: float
    """Share of the time for which a core is busy if one machine has failed."""
    wait_p99_ms: float
    """99 % of the requests wait at most this long for a core, if one machine has failed."""


def plan(rate: float, cost_ms: float, cores_per_machine: int = 16, target: float = 0.6) -> Plan:
    """Machines for `rate` requests per second, each of which takes a core for `cost_ms` milliseconds."""
    busy_cores = rate * cost_ms / 1000
    needed = max(1, math.ceil(busy_cores / target / cores_per_machine))
    load = busy_cores / needed
    return Plan(
        needed + 1,
        (needed + 1) * cores_per_machine,
        load / cores_per_machine,
        wait_ms(load, cores_per_machine, cost_ms),
    )


def erlang_c(load: float, cores: int) -> float:
    """Probability that a request waits in M/M/c. load: mean number of busy cores, less than `cores`."""
    blocked = 1.0  # Erlang's B formula, by recursion over the number of cores
    for number in range(1, cores + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / cores * (1 - blocked))


def wait_ms(load: float, cores: int, cost_ms: float, quantile: float = 0.99) -> float:
    """Quantile of the waiting time: P(wait > t) = C exp(-(cores - load) t / cost)."""
    waits = erlang_c(load, cores)
    return max(0.0, math.log(waits / (1 - quantile)) * cost_ms / (cores - load)) if waits > 0 else 0.0


def main() -> None:
    """Print the plan for the loads of the command line."""
    parser = argparse.ArgumentParser(description="Machines for a load.")
    parser.add_argument("--rate", type=float, nargs="+", default=[100, 10_000, 1_000_000], help="requests per second")
    parser.add_argument("--cost-ms", type=float, default=0.45, help="milliseconds of one core for one request")
    parser.add_argument("--cores", type=int, default=16, help="cores of one machine")
    parser.add_argument("--target", type=float, default=0.6, help="highest share of time for which a core is busy")
    options = parser.parse_args()
    print(f"{'requests/s':>12} {'machines':>9} {'cores':>8} {'utilisation':>12} {'p99 wait, ms':>13}")
    for rate in options.rate:
        made = plan(rate, options.cost_ms, options.cores, options.target)
        print(f"{rate:12,.0f} {made.machines:9,} {made.cores:8,} {made.utilisation:12.2f} {made.wait_p99_ms:13.2f}")


if __name__ == "__main__":
    main()
