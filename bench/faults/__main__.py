"""`python -m bench.faults [NAME ...]`: cause each fault and check the guarantees of docs/operations.md.

Prints a table, then one JSON document on the last line. Exits with 1 if a guarantee did not hold. Takes about eight
minutes. Loopback only. Each fault runs against a new service over copies of two bundles in a temporary folder.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.clients import machine
from bench.faults.bundles import copies
from bench.faults.connections import half_open_connections, reset_connections, slow_readers
from bench.faults.hostile import hostile_inputs
from bench.faults.processes import full_log_disk, hangups, killed_process, stopped_process, terminate_under_load
from bench.faults.reloads import broken_bundles, memory_after_reloads, mutations, swap_under_load
from bench.faults.results import Result
from service.bundle.files import find_bundles

FAULTS: list[Callable[[Path], Result]] = [
    terminate_under_load,
    killed_process,
    stopped_process,
    hangups,
    swap_under_load,
    memory_after_reloads,
    broken_bundles,
    mutations,
    half_open_connections,
    slow_readers,
    reset_connections,
    full_log_disk,
    hostile_inputs,
]


def main() -> int:
    results: dict[str, Any] = machine()
    names = sys.argv[1:]
    for fault in FAULTS:
        if names and fault.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            models = copies(Path(folder))
            assert len(find_bundles(models)) == 2
            results[fault.__name__] = found = fault(models)
        print(fault.__name__.replace("_", " "))
        for key, value in found.items():
            print(f"  {key:<20} {value}", flush=True)
    print(json.dumps(results))
    return 0 if all(all(r["holds"].values()) for r in results.values() if isinstance(r, dict)) else 1


if __name__ == "__main__":
    sys.exit(main())
