"""A service that is away or loading, earlier inputs, copied code, and the API page."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.playground.conftest import EXAMPLES, answer, ask
from tests.playground.test_classify_page import shown

CLIENTS = Path(__file__).parents[2] / "clients"
NODE = shutil.which("node")
TEXT = "A warm day."


def test_the_page_recovers_when_the_service_answers_again(page: Page, address: str) -> None:
    shown(page, address)
    for path in ("**/classify", "**/models"):
        page.route(path, lambda route: route.abort())
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("alert").first).to_contain_text("The service cannot be reached")
    expect(page.get_by_role("alert").first).to_contain_text("tries again until the service answers")
    for path in ("**/classify", "**/models"):
        page.unroute(path)
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_page_without_a_service_at_first(page: Page, address: str) -> None:
    page.route("**/models", lambda route: route.abort())
    page.goto(address)
    expect(page.locator("#outage")).to_contain_text("The service cannot be reached")
    page.unroute("**/models")
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator("#outage")).to_be_empty()


def test_models_that_are_loading_are_counted(page: Page, address: str) -> None:
    def loading(route: Route) -> None:
        listed = route.fetch().json()
        listed["models"][0].update(ready=False, problem="still loading")
        route.fulfill(json=listed)

    page.route("**/models", loading)
    page.goto(f"{address}/#view=models")
    expect(page.locator("#outage")).to_contain_text("1 of 6 models are still loading.")
    page.unroute("**/models")
    expect(page.locator("#outage")).to_be_empty()


def test_an_error_names_its_cure(page: Page, address: str) -> None:
    page.route("**/classify", lambda route: answer(route, 413, "too_many_tokens"))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("So it is. Shorten the text.")


def test_earlier_inputs(page: Page, address: str) -> None:
    shown(page, address, TEXT)
    page.get_by_label("Text to classify").fill(f"{TEXT} No rain.")
    expect(page.locator(".tokens")).to_have_text(f"{TEXT} No rain.")
    page.get_by_role("link", name="Translate").click()
    expect(page.locator(".translated")).to_be_visible()
    page.locator(".past > summary").click()
    listed = page.locator(".past .choices button:not(.quiet)")
    # An input replaces its own beginning.
    expect(listed).to_have_text([f"translate {EXAMPLES[0]}", f"classify {TEXT} No rain."])
    listed.nth(1).click()
    expect(page.get_by_label("Text to classify")).to_have_value(f"{TEXT} No rain.")
    page.reload()
    page.locator(".past > summary").click()
    expect(listed).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    expect(listed).to_have_count(0)
    assert page.evaluate("localStorage.getItem('limelight-inputs')") == "[]"


def copied(page: Page, language: str, what: str = "Copy as") -> str:
    """The code that a button copies."""
    page.get_by_role("button", name=f"{what} {language}").click()
    return str(page.evaluate("navigator.clipboard.readText()"))


def run_python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(CLIENTS / "python"), "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def run_javascript(code: str, folder: Path) -> str | None:
    """The output of a module with Node and the client as an installed package; None without Node."""
    if NODE is None:
        client = (CLIENTS / "typescript" / "src" / "index.js").read_text(encoding="utf-8")
        assert "export class Limelight " in client and f"  async {code.split('limelight.')[1].split('(')[0]}(" in client
        return None
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "limelight-client").symlink_to(CLIENTS / "typescript")
    (folder / "copied.mjs").write_text(code, encoding="utf-8")
    ran = subprocess.run([NODE, "copied.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


GENERATED = {"prompt": "The wind", "max_tokens": 5, "top_p": 0.5, "stop": "q", "temperature": 0.7, "seed": 1}


@pytest.mark.parametrize(
    ("view", "values"),
    [
        ("classify", {"text": 'it\'s a "wind"\n🎉'}),
        ("classify", {"text": TEXT, "explain": "true"}),
        ("translate", {"q": "The wind is cold. It is warm.", "source": "en", "glossary": "wind = breeze"}),
        ("translate", {"q": "The wind is cold. It is warm.", "source": "en", "memory": "toy"}),
        ("generate", {"prompt": "The wind", "length": 5, "top_p": 0.5, "stop": "q"}),
    ],
)
def test_copied_programs_run(page: Page, address: str, tmp_path: Path, view: str, values: dict[str, object]) -> None:
    """Python and JavaScript print the answer that the page shows."""
    page.goto(f"{address}/#{urlencode({'view': view, **values})}")
    what = "Copy explanation as" if "explain" in values else "Copy as"
    printed = run_python(copied(page, "Python", what))
    logged = run_javascript(copied(page, "JavaScript", what), tmp_path)
    if "explain" in values:
        found = ask(page, address, "explain", {"text": TEXT, "model": "toy"})
        [weights] = [each["weights"] for each in found["explanations"] if each["method"] == "occlusion"]
        lines = [line.rsplit(" ", 1) for line in printed.splitlines()]
        assert [word for word, _ in lines] == [token["text"] for token in found["tokens"]]
        assert [float(weight) for _, weight in lines] == pytest.approx(weights, abs=1e-3)
        assert logged is None or [line.rsplit(" ", 1)[0] for line in logged.splitlines()] == [word for word, _ in lines]
        return
    assert logged in (None, printed)
    if view == "classify":
        [prediction] = ask(page, address, "classify", {"text": values["text"], "model": "toy"})["predictions"]
        assert printed.split()[0] == prediction["label"]
    elif view == "translate":
        assert printed.strip() == page.locator(".translated").inner_text()
    else:
        assert printed == ask(page, address, "generate", {**GENERATED, "model": "writer"})["text"] + "\n"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_api_page(browser: Browser, address: str, colours: str) -> None:
    page = browser.new_page(color_scheme=colours)  # type: ignore[arg-type]
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda request: problems.extend([request.url] * (not request.url.startswith((address, "data:"))))
    )
    page.goto(address)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/classify").first).to_be_visible(timeout=15_000)  # Swagger UI is large
    assert (page.locator("html.dark-mode").count() == 1) == (colours == "dark")
    page.get_by_role("link", name="Translate", exact=True).click()
    expect(page.get_by_label("Text to translate")).to_be_visible()
    assert problems == []
    page.close()
