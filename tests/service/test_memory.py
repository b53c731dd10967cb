import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from service.memory import GC_THRESHOLD, settle

glibc_only = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")


class Cycle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[None]:
    """Restore the garbage collector after a test."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
def test_settle_frees_cycles_that_were_frozen() -> None:
    freed = weakref.ref(cycle := Cycle())
    settle()
    del cycle
    assert freed() is not None
    settle()
    assert freed() is None


@pytest.mark.usefixtures("collector")
def test_settle_excludes_loaded_objects_from_collection() -> None:
    loaded = Cycle()
    assert any(found is loaded for found in gc.get_objects())
    settle()
    assert not any(found is loaded for found in gc.get_objects())
    assert gc.get_threshold()[0] == GC_THRESHOLD


def printed_by(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


BURST = """
import ctypes, os, sys
from service.memory import trim

PIECE, COUNT = 64_000, 1_000
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


before = resident()
pieces = [libc.malloc(PIECE) for _ in range(COUNT)]
for piece in pieces:
    ctypes.memset(piece, 1, PIECE)
for piece in pieces[:-1]:  # the last one is at the top of the heap: without it glibc would trim by itself
    libc.free(piece)
if "trimmed" in sys.argv:
    trim()
print((resident() - before) / (PIECE * COUNT))
"""


@glibc_only
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_trim_returns_freed_memory_to_the_system() -> None:
    assert float(printed_by(BURST, "trimmed")) < 0.1 < 0.9 < float(printed_by(BURST))


MANY_THREADS = """
import ctypes, sys, threading
from service.memory import limit_arenas

if "limited" in sys.argv:
    limit_arenas(2)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(6)


def allocate() -> None:
    barrier.wait()
    assert libc.malloc(1000)
    barrier.wait()


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


@glibc_only
def test_threads_share_a_limited_number_of_arenas() -> None:
    def arenas(*arguments: str) -> int:
        return printed_by(MANY_THREADS, *arguments).count("<heap nr=")

    assert arenas("limited") <= 2 < arenas()
