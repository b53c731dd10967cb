"""The process's memory: what is freed is given back, and what stays is passed by."""

import ctypes
import gc

_libc = ctypes.CDLL(None)


def settle() -> None:
    """After loading: free what refers to itself, as predictors and their schedulers do, and freeze the rest.

    Else each full round of the collector looks at everything that was ever loaded, 200 ms in which nobody is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Hand freed memory back to the system: glibc keeps what a burst took, hundreds of MB, for the next one."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
