"""The explanation of a label: methods side by side, and words removed one by one."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.playground.conftest import answer, ask, percent

TEXT = "No way! A warm day, and no rain?"
TITLES = {"attention": "Attention", "occlusion": "Occlusion", "shapley": "Shapley values"}


def opened(page: Page, address: str) -> None:
    page.goto(f"{address}/#{urlencode({'view': 'classify', 'text': TEXT, 'model': 'toy'})}")
    page.get_by_text("Explain: which words decide?").click()
    expect(page.locator(".methods section")).to_have_count(3)


def finding(fall: float, random: float) -> str:
    """The sentence of the page about a method."""
    if fall <= -0.005:
        return "The score rises without these words."
    if fall < 0.005:
        return "These words hardly change the score."
    if random < 0.001:
        return "These words explain the score. Random ones do not."
    ratio = fall / random
    return f"{ratio:.1f} times as much as random ones." if ratio >= 1.2 else "no better than chance."


def test_methods_are_side_by_side(page: Page, address: str) -> None:
    opened(page, address)
    expected = ask(page, address, "explain", {"text": TEXT, "model": "toy"})
    random = expected["random"]["comprehensiveness"]
    for method in expected["explanations"]:
        place = page.locator(f"[data-method={method['method']}]")
        expect(place.locator("h3")).to_contain_text(TITLES[method["method"]])
        expect(place.locator(".finding")).to_contain_text(finding(method["faithfulness"]["comprehensiveness"], random))
        correlation = method["occlusion_correlation"]
        written = "" if correlation is None else f"{correlation:.2f}".replace("-", "−")
        expect(place).to_contain_text(written)
        expect(place.locator(".less")).to_have_count(sum(weight < 0 for weight in method["weights"]))
    assert "explain=true" in page.url
    page.reload()
    expect(page.locator(".methods section")).to_have_count(3)


def test_words_are_removed_one_by_one(page: Page, address: str) -> None:
    opened(page, address)
    expected = ask(page, address, "explain", {"text": TEXT, "model": "toy"})
    [method] = [each for each in expected["explanations"] if each["method"] == "occlusion"]
    words = sorted(range(len(method["weights"])), key=lambda i: (-method["weights"][i], i))[:2]
    page.get_by_role("radio", name="Occlusion").check()
    slider = page.get_by_role("slider", name="Number of removed words")
    slider.focus()
    for _ in words:
        page.keyboard.press("ArrowRight")
    removed = [expected["tokens"][i] for i in sorted(words)]
    expect(page.locator(".removal del")).to_have_text([token["text"] for token in removed])
    rest = "".join(c for i, c in enumerate(TEXT) if not any(t["start"] <= i < t["end"] for t in removed)).strip()
    [prediction] = ask(page, address, "classify", {"text": rest, "model": "toy"})["predictions"]
    score = percent(prediction["scores"][expected["target"]])
    expect(page.locator(".removal output")).to_contain_text(f"2 of {len(expected['tokens'])} words removed: ")
    expect(page.locator(".removal output")).to_contain_text(score)
    expect(page.get_by_role("img", name="Score of")).to_be_visible()


def test_the_labels_of_the_chart_are_inside(page: Page, address: str) -> None:
    """Also those of lines that end at the same height, and that of random words at the top."""
    page.goto(address)
    outside = page.evaluate(
        """async () => {
          const { curve } = await import("./playground/curve.js");
          const lines = ["a", "b", "c"].map((name, i) => ({ name, values: [1, 0], first: i === 0 }));
          const chart = curve(lines, [[0, 1], [0.5, 1]], 1, { label: "", width: 400 });
          const place = document.createElement("div");
          place.className = "chart";
          place.append(chart);
          document.body.append(place);
          const { top, bottom } = chart.getBoundingClientRect();
          const isOutside = (box) => box.top < top || box.bottom > bottom;
          const labels = [...chart.querySelectorAll("text")];
          return labels.filter((label) => isOutside(label.getBoundingClientRect())).map((label) => label.textContent);
        }"""
    )
    assert outside == []


@pytest.mark.parametrize(("status", "error_type", "title"), [(429, "overloaded", "The service is busy")])
def test_an_error_of_an_explanation(page: Page, address: str, status: int, error_type: str, title: str) -> None:
    page.route("**/explain", lambda route: answer(route, status, error_type))
    page.goto(f"{address}/#{urlencode({'view': 'classify', 'text': TEXT, 'model': 'toy', 'explain': 'true'})}")
    expect(page.get_by_role("alert")).to_contain_text(title)
    page.unroute("**/explain")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".methods section")).to_have_count(3)
