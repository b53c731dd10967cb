"""All views: models' pages, sizes, colours, the API page, and the real models."""

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.playground.conftest import EXAMPLES

VIEWS = ["classify", "translate", "generate", "models"]


def test_a_models_page(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=models")
    rows = page.locator(".overview th[scope=row]")
    expect(rows).to_have_text(["toy", "toy-other", "en-xx", "en-xx-other", "writer", "writer-other"])
    expect(page.get_by_role("row", name="toy cold, mild, warm accuracy 75.0 %")).to_be_visible()
    page.get_by_role("button", name="Measure the speed").click()
    expect(page.locator(".overview td:last-child").filter(has_text=re.compile(r"^[\d.]+ ms$"))).to_have_count(6)
    rows.get_by_role("link", name="toy", exact=True).click()
    article = page.get_by_role("article")
    expect(article.get_by_role("row", name="accuracy 0.75 toy test (4 texts)")).to_be_visible()
    expect(article.get_by_role("row", name="fake tests/fakes.py CC0")).to_be_visible()
    expect(article).to_contain_text("self (1 layers, 2 heads)")
    picture = article.get_by_role("img", name="Learning curves")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('article img').naturalWidth === 1")
    article.get_by_role("link", name="All models").click()
    expect(rows.first).to_be_visible()
    page.go_back()
    article.get_by_role("link", name="Try it").click()
    expect(page.locator("#classify-results .verdict")).to_be_visible()


def test_a_model_that_is_gone(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=models&name=gone")
    expect(page.get_by_role("article")).to_contain_text("Unknown model: gone.")


@pytest.mark.parametrize("view", ["classify", "translate", "generate"])
def test_an_example_does_not_replace_typed_text(page: Page, address: str, view: str) -> None:
    text = page.locator(f"#{view} textarea").first

    def meanwhile(route: Route) -> None:
        text.focus()
        route.continue_()

    page.route("**/models", meanwhile)
    page.goto(f"{address}/#view={view}")
    expect(page.locator(f"#{view}-examples button")).to_have_count(len(EXAMPLES))
    page.keyboard.type("wind")
    expect(text).to_have_value("wind")
    page.locator(f"#{view}-results .panel:not(.growing)").first.wait_for()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_a_phone(browser: Browser, address: str, view: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, has_touch=True)
    page.goto(f"{address}/#view={view}")
    page.locator(f"#{view} .panel, #{view} .overview").first.wait_for()
    page.locator(f"#{view} details.more > summary").evaluate_all("all => all.forEach((each) => each.click())")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    tops = page.locator("header.top nav a").evaluate_all(
        "links => links.map((link) => link.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == 1  # one row
    if view == "classify":
        page.locator(".token").nth(1).tap()
        expect(page.locator(".token").nth(1)).to_have_class("token meant")
    page.close()


CONTRAST = """names => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = names.map(light).sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_contrast(browser: Browser, address: str, colours: str) -> None:
    page = browser.new_page(color_scheme=colours)  # type: ignore[arg-type]
    page.goto(address)
    for text in ("--ink", "--soft", "--bad"):
        for ground in ("--paper", "--raised"):
            assert page.evaluate(CONTRAST, [text, ground]) >= 4.5, (text, ground)
    assert page.evaluate(CONTRAST, ["--lit", "--light"]) >= 4.5
    assert page.evaluate(CONTRAST, ["--edge", "--paper"]) >= 3
    [paper] = page.evaluate("[getComputedStyle(document.body).backgroundColor]")
    assert (paper == "rgb(21, 22, 15)") == (colours == "dark")
    page.close()


def test_every_control_has_a_name(page: Page, address: str) -> None:
    for view in VIEWS:
        page.goto(f"{address}/#view={view}")
        page.locator(f"#{view} .panel, #{view} .overview").first.wait_for()
        unnamed = page.locator(f"#{view}").evaluate(
            """section => [...section.querySelectorAll('input, select, textarea, button, a')]
              .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map((e) => e.outerHTML)"""
        )
        assert unnamed == []


def test_real_classifiers_side_by_side(page: Page, real_address: str) -> None:
    page.goto(f"{real_address}/#view=classify&model=sms-spam&text=FREE entry! Text WIN to 80086 now")
    expect(page.locator(".verdict b")).to_have_text("spam")
    page.locator("#classifier-compare summary").click()
    filter_field = page.get_by_role("searchbox", name="Filter models")
    filter_field.fill("dot")
    expect(page.locator("#classifier-compare .choices label:visible")).to_have_count(2)
    filter_field.fill("")
    for score in ("dot", "scaled-dot", "general", "location"):
        page.get_by_role("checkbox", name=f"sms-spam-{score}", exact=False).check()
    expect(page.locator(".verdict b")).to_have_text(["spam"] * 5)
    expect(page.locator("#classify-results > .tally")).to_have_text("5 spam")


def test_a_real_translator(page: Page, real_address: str) -> None:
    page.goto(f"{real_address}/#view=translate&source=en&target=fr&q=Good morning, Tom.")
    translation = page.get_by_label("Words of the translation")
    expect(translation).to_have_text("Bonjour, Tom.")
    translation.get_by_text("Tom").hover()
    expect(page.get_by_label("Source words").get_by_text("Tom")).to_have_class("token strong")
