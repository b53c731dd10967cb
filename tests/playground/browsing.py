"""A browser and the service behind a real port, for the tests of the page and for its pictures."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from playwright.sync_api import Browser, sync_playwright

from service.app import create_app
from service.registry import Registry
from service.settings import Settings
from tests.fakes import until

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where a browser is installed; None: nowhere."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def listening(models: Path, wait: bool = True, **settings: Any) -> Iterator[str]:
    """The address of the service over a folder of bundles, by default once they are all loaded."""
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
