"""Memory of the process: glibc arenas, freed memory, and Python's garbage collector."""

import ctypes
import gc

_libc = ctypes.CDLL(None)

GC_THRESHOLD = 10_000
"""New objects after which the young generation is collected. Python's 700 would collect too often: a hundred requests
hold more objects than that, and few of them are in reference cycles."""
M_ARENA_MAX = -8
"""Parameter of glibc's `mallopt` (malloc.h)."""


def limit_arenas(threads: int) -> None:
    """Limit glibc to one malloc arena per thread, and at least two. Call this before threads start.

    The default is eight arenas per core. After a burst of requests each of them keeps free memory.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, max(2, threads))


def settle() -> None:
    """Free reference cycles and exclude all remaining objects from garbage collection. Call this after loading.

    Predictors and their schedulers are in reference cycles. A full collection over everything that is loaded would
    block the process for 200 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    trim()


def trim() -> None:
    """Return freed memory to the operating system. After a burst of requests glibc keeps hundreds of megabytes."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
