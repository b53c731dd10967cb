"""Start one server: `python -m bench.rivals NAME PORT`."""

import sys

from bench.rivals import SERVERS, TRANSLATORS

if __name__ == "__main__":  # the guard is needed: servers start processes that import this module
    {**SERVERS, **TRANSLATORS}[sys.argv[1]](int(sys.argv[2]))
