"""The service on a real port, for tests with network clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn

from service.app import create_app
from service.registry.registry import Registry
from service.settings import Settings
from tests.fakes import until


@contextmanager
def listening(models: Path, wait: bool = True, **settings: Any) -> Iterator[str]:
    """Yield the address of a service, by default after all bundles are loaded."""
    app = create_app(Settings(models=models, device="cpu", threads=1, **settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = Thread(target=server.run)
    thread.start()
    registry: Registry = app.state.registry
    try:
        until(lambda: server.started and not (wait and any(e.problem == "still loading" for e in registry.entries())))
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
