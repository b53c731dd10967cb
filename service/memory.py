"""The process's memory: what is freed is given back, little is left between, and what stays is passed by."""

import ctypes
import gc

_libc = ctypes.CDLL(None)

YOUNG = 10_000
"""So many new objects are looked through together for those that refer to themselves, not Python's 700: few do, and
what a hundred requests at once still hold would be looked at again and again."""
ARENAS = -8
"""glibc's number for the most arenas, malloc.h's M_ARENA_MAX."""


def limit_arenas(threads: int) -> None:
    """Before there are threads: memory for so many of them side by side, two at least. glibc would make eight arenas a
    core, in each of which pieces of what a burst took stay between what is still used."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(ARENAS, max(2, threads))


def settle() -> None:
    """After loading: free what refers to itself, as predictors and their schedulers do, and freeze the rest.

    Else each full round of the collector looks at everything that was ever loaded, 200 ms in which nobody is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
    trim()


def trim() -> None:
    """Hand freed memory back to the system: glibc keeps what a burst took, hundreds of MB, for the next one."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
