"""Shared constants and checks."""

import time
from typing import Any

from bench.clients import CLASSIFY, Service

CLIENTS = 50
"""Concurrent clients of a test under load."""
Result = dict[str, Any]
"""Measurements, and `holds`: guarantee -> True if it held."""


def answers(service: Service) -> bool:
    """Return True if a classification succeeds within a second."""
    since = time.perf_counter()
    return service.ask("POST", "/classify", CLASSIFY)[0] == 200 and time.perf_counter() - since < 1
