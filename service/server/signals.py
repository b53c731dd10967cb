"""Signal handlers for the time before the server runs. Imports nothing else, so that it can be the first import.

Without a handler SIGHUP ends the process, also while the modules of the service are imported.
"""

import os
import signal
from types import FrameType

_hangup = False


def install() -> None:
    """Remember SIGHUP. End the process on SIGTERM and SIGINT, because no request is in progress yet."""
    signal.signal(signal.SIGHUP, _remember)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)


def was_hung_up() -> bool:
    """Return whether SIGHUP has arrived since `install`."""
    return _hangup


def _remember(_number: int, _frame: FrameType | None) -> None:
    global _hangup
    _hangup = True


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)
