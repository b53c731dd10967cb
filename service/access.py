"""API keys and rate limits.

The service stores only the sha256 of each key. A key has 256 random bits, so a fast hash is as safe as a slow one.
Comparisons take constant time.
"""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Mapping

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.errors import Forbidden, RateLimited, Unauthorized
from service.translation.cache import CALLER

KEY = re.compile(r"(?P<name>[\w.-]+):(?P<sha256>[0-9a-f]{64})")

RATE = re.compile(r"[1-9][0-9]{0,8}\s*(/|per)\s*([1-9][0-9]{0,8}\s*)?[a-z]+", re.IGNORECASE | re.ASCII)
MAX_PERIOD_S = 366 * 86_400


def parse_keys(listed: str) -> dict[str, str]:
    """Parse `<name>:<sha256>` entries, separated by white space, into sha256 -> name. `#` starts a comment.

    Raises ValueError. Its message omits the entry, which may be a key.
    """
    keys: dict[str, str] = {}
    for number, line in enumerate(listed.splitlines(), start=1):
        for word in line.split("#")[0].split():
            if (match := KEY.fullmatch(word)) is None:
                raise ValueError(f"line {number}: not of the form <name>:<sha256 in 64 hexadecimal digits>")
            keys[match["sha256"]] = match["name"]
    return keys


def parse_rate(rate: str) -> RateLimitItem:
    """Parse one rate such as `60/minute` or `1000 per 2 hours`. Raises ValueError."""
    message = f"{rate[:100]!r} is not a rate such as 60/minute"
    if RATE.fullmatch(rate.strip()) is None:
        raise ValueError(message)
    try:
        parsed = parse(rate)
    except ValueError:
        raise ValueError(message) from None
    if parsed.get_expiry() > MAX_PERIOD_S:
        raise ValueError(f"{message}: its period is longer than a year")
    return parsed


def new_key(name: str) -> tuple[str, str]:
    """Return a new key for the caller, and its entry for the service. Raises ValueError for an invalid name."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    parse_keys(line)
    return key, line


class Access:
    """Admits callers by key and rate. Without keys it admits everyone, and the rate applies to each address."""

    def __init__(self, keys: Mapping[str, str], rate: str | None, shares_cache: bool = False):
        """shares_cache: callers with different keys share cached sentences."""
        self._keys = keys
        self._shares_cache = shares_cache
        self._rate = None if rate is None else parse_rate(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    @property
    def keyed(self) -> bool:
        return bool(self._keys)

    @property
    def open(self) -> bool:
        """True if there are neither keys nor a rate."""
        return not self._keys and self._rate is None

    def admit(self, key: str | None, address: str) -> None:
        """Count a request of a caller. Raises Unauthorized, Forbidden or RateLimited."""
        caller = f"address {address}"
        if self.keyed:
            name = self.name(key)
            caller = f"key {name}"
            if not self._shares_cache:
                CALLER.set(name)
        if self._rate is not None and not self._limiter.hit(self._rate, caller):
            wait_s = self._limiter.get_window_stats(self._rate, caller).reset_time - time.time()
            raise RateLimited(f"Slowdown: at most {self._rate} requests", max(1, math.ceil(wait_s)))

    def name(self, key: str | None) -> str:
        """Return the name of a key. Raises Unauthorized if it is missing, and Forbidden if it is unknown."""
        if not key:
            raise Unauthorized("an API key is needed: send it as `Authorization: Bearer`, or as `api_key` in the body")
        sent = hashlib.sha256(key.encode()).hexdigest()
        # All keys are compared, so that the time does not depend on the key.
        [*names] = [name for known, name in self._keys.items() if hmac.compare_digest(known, sent)]
        if not names:
            raise Forbidden("Invalid API key")
        return names[0]


def same_token(expected: str, sent: str) -> bool:
    """Compare two tokens in constant time."""
    return hmac.compare_digest(expected.encode(), sent.encode())
