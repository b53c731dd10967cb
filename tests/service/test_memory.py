import ctypes
import gc
import subprocess
import sys
import weakref

import pytest

from service.memory import settle, trim


class Loop:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_freed_even_if_it_was_frozen() -> None:
    gone = weakref.ref(made := Loop())
    settle()
    del made
    assert gone() is not None
    settle()
    assert gone() is None
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_trimming_again_and_again_does_no_harm() -> None:
    for _ in range(3):
        trim()


MANY_THREADS = """
import ctypes, sys, threading
from service.memory import limit_arenas

if "limited" in sys.argv:
    limit_arenas(2)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
all_at_once = threading.Barrier(6)


def allocate() -> None:
    all_at_once.wait()
    assert libc.malloc(1000)
    all_at_once.wait()


threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, output)
libc.fflush(output)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_threads_share_as_many_arenas_as_can_be_used_at_once() -> None:
    def arenas(*arguments: str) -> int:
        command = [sys.executable, "-c", MANY_THREADS, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("<heap nr=")

    assert arenas("limited") <= 2 < arenas()
