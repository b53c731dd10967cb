"""No serious finding of axe-core in any view and colour scheme; the page works with the keyboard and without motion."""

from typing import Literal
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.fakes import doubled

COLOURS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TEXT = "No way! A warm day, and no rain?"
TWO = "The wind is cold. No rain!"
STATES = {  # hash -> an element of the complete view
    urlencode({"view": "classify", "text": TEXT, "model": "toy", "explain": "true"}): ".removal output",
    urlencode({"view": "classify", "text": TEXT, "model": ["toy", "toy-other"]}, doseq=True): ".tally",
    urlencode({"view": "translate", "q": "The wind is cold.", "matrix": "cross.0.mean"}): ".heads",
    urlencode({"view": "translate", "q": TEXT, "source": "en", "target": "zz"}): ".problem",
    urlencode({"view": "generate", "prompt": TEXT, "length": 20}): ".panel:not(.growing) .tokens",
    "view=models": ".overview",
    "view=models&name=toy": "article h1",
}


def serious(page: Page) -> list[str]:
    """Serious and critical findings, each with its first element."""
    options = {
        "resultTypes": ["violations"],
        "rules": {"valid-lang": {"enabled": False}},
    }  # the language of the fakes is xx
    found = Axe().run(page, options=options).response["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary'][:200]}" for each in bad
    ]


@pytest.mark.parametrize("state", STATES)
def test_axe_has_no_serious_finding(page: Page, address: str, state: str) -> None:
    page.goto(f"{address}/#{state}")
    page.locator(STATES[state]).first.wait_for()
    page.wait_for_timeout(400)  # the fading of an answer
    for colours in COLOURS:
        page.emulate_media(color_scheme=colours)
        assert serious(page) == [], colours


def test_a_translation_with_the_keyboard_alone(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=translate")
    expect(page.locator(".translated")).to_be_visible()
    page.get_by_label("Text to translate").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(TWO)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".translated")).to_have_text(doubled(TWO))
    page.locator("#translate-results summary").first.focus()
    page.keyboard.press("Enter")
    for _ in range(2):  # past the disabled button of the previous sentence
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Next sentence":
            break
    page.keyboard.press("Enter")
    expect(page.locator(".stepper")).to_contain_text("Sentence 2 of 2")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Source words").locator("[data-index]").first).to_be_focused()


def test_nothing_moves_if_the_user_prefers_that(browser: Browser, address: str) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(address)
    page.locator(".verdict").wait_for()
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((e) => {
          const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(e);
          return parseFloat(transitionDuration) > 0 || animationName !== "none" || scrollBehavior === "smooth";
        }).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert moving == []
    page.close()
