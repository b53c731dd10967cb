"""Other servers of the same networks.

`python -m bench.rivals NAME PORT` starts a server of `SERVERS` (/classify) or `TRANSLATORS` (/translate). Each uses the
bundle's tokenizer and answers with the result, tokens with offsets, and attention. None validates the text. Offsets are
those of the tokenizer, which include the space before a word.
"""

import os
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
BENTOML = Path(__file__).parents[2] / ".venv" / "bentoml" / "bin" / "bentoml"
"""Installed in a separate environment because it requires other versions of the service's dependencies."""
BUNDLE = "BENCH_BUNDLE"
CANNED = "BENCH_CANNED"
MODEL, MODE, PRECISION = "BENCH_MODEL", "BENCH_MODE", "BENCH_PRECISION"
WORKERS, THREADS = "BENCH_WORKERS", "BENCH_THREADS"
"""Environment variables. BUNDLE is the bundle's folder, CANNED the size in bytes of the bare endpoint's answer. The
others are for CTranslate2: the converted model, `single` or `batching`, the compute type, workers, and threads each."""


def uvicorn(module: str, port: int, workers: int = 1) -> None:
    import uvicorn

    app = f"bench.rivals.{module}:app"
    uvicorn.run(app, host=HOST, port=port, workers=workers, access_log=False, log_level="error")


def litserve(port: int) -> None:
    from bench.rivals.lit import server

    server().run(host=HOST, port=port, generate_client_file=False, log_level="error")


def bentoml(port: int) -> None:
    os.execv(BENTOML, [str(BENTOML), "serve", "bench.rivals.bento:Bento", "--host", HOST, "--port", str(port)])


SERVERS: dict[str, Callable[[int], None]] = {
    "bare endpoint": lambda port: uvicorn("bare", port),
    "plain FastAPI": lambda port: uvicorn("plain", port),
    "plain FastAPI, 2 workers": lambda port: uvicorn("plain", port, 2),
    "LitServe": litserve,
    "BentoML": bentoml,
}
TRANSLATORS: dict[str, Callable[[int], None]] = {"FastAPI + CTranslate2": lambda port: uvicorn("ctranslate", port)}
