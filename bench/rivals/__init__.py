"""A classification bundle's own graph behind other servers: the same tokenizer, and as much in the answer as the
service has there, the tokens with their places and the attention row.

`python -m bench.rivals NAME PORT` serves one of `SERVERS`. None of them checks the text, and places are the tokenizer's
own, which count the space before a word in.
"""

import os
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
BENTOML = Path(__file__).parents[2] / ".venv" / "bentoml" / "bin" / "bentoml"
"""In an environment of its own, as it asks for other versions of what the service is made of."""
BUNDLE = "BENCH_BUNDLE"
CANNED = "BENCH_CANNED"
"""Variables of the environment: the bundle's folder, and the size in bytes of the bare endpoint's answer."""


def uvicorn(module: str, port: int, workers: int = 1) -> None:
    import uvicorn

    quiet = {"access_log": False, "log_level": "error"}
    uvicorn.run(f"bench.rivals.{module}:app", host=HOST, port=port, workers=workers, **quiet)


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
