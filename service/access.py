"""Who may ask, and how often: API keys, of which only the sha256 is kept, and a rate for each caller.

Keys are made by `new_key`, 256 bits of chance each, so that a plain hash is as good as a slow one: there is nothing to
guess. What is compared is compared in constant time.
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

KEY = re.compile(r"(?P<name>[\w.-]+):(?P<sha256>[0-9a-f]{64})")


def parse_keys(listed: str) -> dict[str, str]:
    """sha256 -> name, of `<name>:<sha256>` between white space; the rest of a line after `#` is left out.

    Raises ValueError, which repeats nothing of what may be a key.
    """
    keys: dict[str, str] = {}
    for number, line in enumerate(listed.splitlines(), start=1):
        for word in line.split("#")[0].split():
            if (match := KEY.fullmatch(word)) is None:
                raise ValueError(f"line {number}: not of the form <name>:<sha256 in 64 hexadecimal digits>")
            keys[match["sha256"]] = match["name"]
    return keys


def parse_rate(rate: str) -> RateLimitItem:
    """`60/minute` and the like. Raises ValueError."""
    return parse(rate)


def new_key(name: str) -> tuple[str, str]:
    """A key, to be given to the caller, and its line for the service. Raises ValueError for an unfit name."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    parse_keys(line)
    return key, line


class Access:
    """Lets callers in. Without keys everyone is let in, and the rate is of each address."""

    def __init__(self, keys: Mapping[str, str], rate: str | None):
        self._keys = keys
        self._rate = None if rate is None else parse_rate(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    @property
    def keyed(self) -> bool:
        return bool(self._keys)

    @property
    def open(self) -> bool:
        """Everyone may ask, as often as they like."""
        return not self._keys and self._rate is None

    def admit(self, key: str | None, address: str) -> None:
        """Raises Unauthorized without a key, Forbidden with a wrong one, and RateLimited."""
        caller = f"key {self.name(key)}" if self.keyed else f"address {address}"
        if self._rate is not None and not self._limiter.hit(self._rate, caller):
            wait_s = self._limiter.get_window_stats(self._rate, caller).reset_time - time.time()
            raise RateLimited(f"Slowdown: at most {self._rate} requests", max(1, math.ceil(wait_s)))

    def name(self, key: str | None) -> str:
        """Whose key it is. Raises Unauthorized or Forbidden."""
        if not key:
            raise Unauthorized("an API key is needed: send it as `Authorization: Bearer`, or as `api_key` in the body")
        sent = hashlib.sha256(key.encode()).hexdigest()
        # Every one is compared, so that the time tells nothing of which one it was.
        [*names] = [name for known, name in self._keys.items() if hmac.compare_digest(known, sent)]
        if not names:
            raise Forbidden("Invalid API key")
        return names[0]


def same_token(expected: str, sent: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(expected.encode(), sent.encode())
