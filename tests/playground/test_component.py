"""<limelight-translate> on a page of another site's kind, and the client for browsers. Both in a strict page."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.fakes import doubled

CLIENTS = Path(__file__).parents[2] / "clients"
TEXT = "Wind! No way, rain."


def embedding(page: Page, address: str, element: str) -> None:
    """Open a page with an element. The policy of the page allows only files of its own origin."""
    html = f'<!doctype html><title>A site</title><script type="module" src="/component.js"></script>{element}'
    headers = {
        "Content-Type": "text/html",
        "Content-Security-Policy": "default-src 'self'; require-trusted-types-for 'script'",
    }
    page.route("**/site", lambda route: route.fulfill(body=html, headers=headers))
    page.route("**/component.js", lambda route: route.fulfill(path=CLIENTS / "web" / "limelight-translate.js"))
    page.goto(f"{address}/site")


def test_sentences_are_shown_in_order(page: Page, address: str) -> None:
    embedding(page, address, '<limelight-translate source="en" target="xx"></limelight-translate>')
    page.evaluate("addEventListener('translated', (event) => (window.answer = event.detail.translatedText))")
    page.get_by_label("Text to translate").fill(TEXT)
    page.get_by_label("Text to translate").press("Control+Enter")
    sentences = page.locator(".sentence")
    expect(sentences).to_have_count(2)
    expect(page.get_by_role("button", name="Translate")).to_be_visible()
    assert [text.split("!")[0] for text in sentences.all_inner_texts()][0] == doubled("Wind")
    assert sentences.nth(1).locator("small").inner_text() == "No way, rain."
    assert page.evaluate("answer") == doubled(TEXT)
    assert page.evaluate("document.querySelector('limelight-translate').translation") == doubled(TEXT)


def test_a_word_shades_the_words_it_looks_at(page: Page, address: str) -> None:
    embedding(page, address, '<limelight-translate source="en" target="xx"></limelight-translate>')
    page.get_by_label("Text to translate").fill("No way")
    page.get_by_role("button").click()
    page.get_by_text(doubled("way"), exact=True).hover()
    weight = "(word) => Number(word.style.getPropertyValue('--weight'))"
    source = page.locator("small .word")
    assert source.nth(1).evaluate(weight) > source.nth(0).evaluate(weight)
    page.get_by_text(doubled("No"), exact=True).focus()
    page.mouse.move(0, 0)
    page.get_by_label("Text to translate").focus()
    assert source.nth(1).evaluate(weight) == 0


def test_languages_can_be_chosen(page: Page, address: str) -> None:
    embedding(page, address, '<limelight-translate label="Go"></limelight-translate>')
    expect(page.get_by_label("Target language").locator("option")).to_have_count(1)
    page.get_by_label("Text to translate").fill("wind")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".sentence")).to_contain_text("wwiinndd")


@pytest.mark.parametrize("reachable", [True, False])
def test_errors_are_shown(page: Page, address: str, reachable: bool) -> None:
    embedding(page, address, '<limelight-translate source="en" target="zz"></limelight-translate>')
    if not reachable:
        page.route("**/translate", lambda route: route.abort())
    page.get_by_label("Text to translate").fill("wind")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_have_text(
        "zz is not supported" if reachable else "The translation service cannot be reached."
    )


def test_the_client_in_a_browser(page: Page, address: str) -> None:
    def serve(route: Route) -> None:
        route.fulfill(path=CLIENTS / "typescript" / "src" / route.request.url.rsplit("/", 1)[1])

    page.route("**/client/*.js", serve)
    embedding(page, address, "")
    found: Any = page.evaluate(
        """async (q) => {
          const { Limelight } = await import("/client/index.js");
          const limelight = new Limelight(location.origin);
          const events = [];
          for await (const { event } of limelight.stream(q, "en", "xx")) events.push(event);
          const prediction = await limelight.classify("wind");
          const error = await limelight.classify(" ").catch((error) => error.errorType);
          return [events, prediction.scores[prediction.label] === prediction.score, error];
        }""",
        TEXT,
    )
    assert found == [["sentence", "sentence", "done"], True, "empty_text"]
