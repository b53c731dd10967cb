"""The page over the fakes and over the real bundles, in a browser that may ask this service and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.fakes import write_classifier, write_generator, write_translator
from tests.listening import listening
from tests.playground.browsing import NAMES, browsing, chromium

EXAMPLES = ["The wind is cold.", "No way! A warm day, and no rain?"]
TRAINING = {"recipe": {"examples": EXAMPLES}, "recipe_sha256": "", "seed": 7, "minutes": 0, "hardware": "none"}
METRICS = [{"name": "accuracy", "value": 0.75, "data": "toy test (4 texts)"}]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chromium() is None:
        skip = pytest.mark.skip(reason=f"no browser: none of {', '.join(NAMES)} is on the PATH")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service over two fake classifiers, two fake translators of one pair and two fake language models."""
    folder = tmp_path_factory.mktemp("models")
    write_classifier(folder, training=TRAINING, metrics=METRICS)
    write_classifier(folder, "toy-other")
    write_translator(folder, training=TRAINING)
    write_translator(folder, "en-xx-other")
    write_generator(folder, training=TRAINING)
    write_generator(folder, "writer-other")
    with listening(folder) as address:
        yield address


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory, real_models: Path) -> Iterator[str]:
    """The service over those of the committed bundles that these tests ask."""
    folder = tmp_path_factory.mktemp("real-models")
    for bundle in [real_models / "en-fr", *real_models.glob("sms-spam*")]:
        (folder / bundle.name).symlink_to(bundle)
    with listening(folder) as address:
        yield address


# A module's, not the session's: while playwright runs, no other test of this thread can call asyncio.run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.set_default_timeout(15_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Every request of the test has to stay with the host it began with, and no script may fail."""
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on("console", lambda message: wrong.extend([message.text] if "Content Security" in message.text else []))
    yield page
    origin = page.evaluate("location.origin")
    assert [url for url in asked if not url.startswith((origin, "blob:", "data:"))] == []
    assert wrong == []


@pytest.fixture
def took(record_property: Callable[[str, object], None]) -> Callable[[Page, str], None]:
    """Reports how long the last rendering of a name took, to the frame that showed it; it asserts no time."""

    def report(page: Page, name: str) -> None:
        page.wait_for_function("name => performance.getEntriesByName(name).length", arg=name)
        duration = page.evaluate("name => performance.getEntriesByName(name).at(-1).duration", name)
        record_property(f"{name}_ms", round(duration))
        print(f"{name}: rendered in {duration:.0f} ms")

    return report


def answer(route: Route, status: int, error_type: str, headers: dict[str, str] | None = None) -> None:
    """Answer a request as the service does when something is wrong."""
    body = {"title": error_type.replace("_", " ").capitalize(), "detail": "so it is", "error_type": error_type}
    route.fulfill(status=status, json=body, headers={"Content-Type": "application/problem+json", **(headers or {})})


def percent(share: float) -> str:
    """As the page writes it: a tie goes up."""
    return f"{100 * share + 1e-9:.1f} %"


def ask(page: Page, address: str, path: str, body: dict[str, Any]) -> Any:
    """What the service itself answers."""
    return page.request.post(f"{address}/{path}", data=body).json()
