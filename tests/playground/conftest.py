"""The page in a browser, with fake and real bundles. Requests to other hosts fail the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.fakes import write_classifier, write_generator, write_translator
from tests.listening import listening
from tests.playground.browsing import NAMES, browsing, chromium

EXAMPLES = ["The wind is cold.", "No way! A warm day, and no rain?"]
USE = "Testing the page."
TRAINING = {
    "recipe": {"examples": EXAMPLES, "intended_use": USE},
    "recipe_sha256": "",
    "seed": 7,
    "minutes": 0,
    "hardware": "none",
}
TOKEN = "open sesame 1234"
METRICS = [{"name": "accuracy", "value": 0.75, "data": "toy test (4 texts)"}]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chromium() is None:
        skip = pytest.mark.skip(reason=f"no browser: none of {', '.join(NAMES)} is on the PATH")
        for item in items:
            if item.path.is_relative_to(Path(__file__).parent):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service with two fake classifiers, two fake translators of one pair and two fake language models."""
    folder = tmp_path_factory.mktemp("models")
    write_classifier(folder, default=True, training=TRAINING, metrics=METRICS)
    write_classifier(folder, "toy-other")
    write_translator(folder, default=True, training=TRAINING)
    write_translator(folder, "en-xx-other")
    write_generator(folder, default=True, training=TRAINING)
    write_generator(folder, "writer-other")
    memories = tmp_path_factory.mktemp("memories")
    (memories / "toy.tmx").write_text(tmx({"The wind is cold.": "LE VENT"}), encoding="utf-8")
    with listening(folder, glossaries=memories, admin_token=TOKEN) as address:
        yield address


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory, real_models: Path) -> Iterator[str]:
    """The service with the committed bundles that these tests use."""
    folder = tmp_path_factory.mktemp("real-models")
    for bundle in [real_models / "en-fr", *real_models.glob("sms-spam*")]:
        (folder / bundle.name).symlink_to(bundle)
    with listening(folder) as address:
        yield address


# Module scope: while playwright runs, no other test of this thread can call asyncio.run.
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
    """A new page. Requests to other hosts and script errors fail the test."""
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
    """Report the duration of the last rendering with a name, until its frame was shown. Asserts no duration."""

    def report(page: Page, name: str) -> None:
        page.wait_for_function("name => performance.getEntriesByName(name).length", arg=name)
        duration = page.evaluate("name => performance.getEntriesByName(name).at(-1).duration", name)
        record_property(f"{name}_ms", round(duration))
        print(f"{name}: rendered in {duration:.0f} ms")

    return report


def tmx(units: dict[str, str]) -> str:
    """A translation memory of the pair of the fake translators."""
    rows = "".join(
        f'<tu><tuv xml:lang="en"><seg>{source}</seg></tuv><tuv xml:lang="xx"><seg>{target}</seg></tuv></tu>'
        for source, target in units.items()
    )
    return f'<tmx version="1.4"><header/><body>{rows}</body></tmx>'


def answer(route: Route, status: int, error_type: str, headers: dict[str, str] | None = None) -> None:
    """Answer a request with a problem document."""
    body = {"title": error_type.replace("_", " ").capitalize(), "detail": "so it is", "error_type": error_type}
    route.fulfill(status=status, json=body, headers={"Content-Type": "application/problem+json", **(headers or {})})


def percent(share: float) -> str:
    """Format a percentage like the page, which rounds half up."""
    return f"{100 * share + 1e-9:.1f} %"


def ask(page: Page, address: str, path: str, body: dict[str, Any]) -> Any:
    """The answer of the service itself."""
    return page.request.post(f"{address}/{path}", data=body).json()
