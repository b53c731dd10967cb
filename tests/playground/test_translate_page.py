import json
import math
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.fakes import doubled
from tests.playground.conftest import EXAMPLES, ask, percent

TEXT = "The wind is cold."
PAIR = {"source": "en", "target": "xx", "model": "en-xx"}


def shown(page: Page, address: str, q: str = TEXT, **values: str) -> None:
    """Open the page with a text."""
    page.goto(f"{address}/#{urlencode({'view': 'translate', 'q': q, **values})}")
    page.locator("#translation .under, .comparing .panel, #translation .problem").first.wait_for()
    expect(page.locator("#translate-examples button")).to_have_count(len(EXAMPLES))


def sentences(page: Page, address: str, q: str = TEXT, **options: Any) -> list[dict[str, Any]]:
    """The sentences that the service returns for the same request."""
    body = {"q": q, **PAIR, "attention_unit": "word", **options}
    found: list[dict[str, Any]] = ask(page, address, "translate", body)["translations"][0]["sentences"]
    return found


def words(page: Page, side: str) -> Locator:
    return page.get_by_label(side, exact=True).locator("[data-index]")


def options(page: Page) -> None:
    """Open the options."""
    page.locator("#translate-options > summary").click()


def visible(tokens: list[dict[str, Any]], unit: str = "word") -> list[dict[str, Any]]:
    """The tokens that the page shows: special ones only among tokens, not among words."""
    return [token for token in tokens if unit == "token" or "special" not in token]


SOURCE, TARGET = "Source words", "Words of the translation"


def strongest(weights: list[float]) -> int:
    return weights.index(max(weights))


def test_the_first_example_is_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=translate")
    expect(page.get_by_label("Text to translate")).to_have_value(EXAMPLES[0])
    expect(page.get_by_label(TARGET)).to_have_text(doubled(EXAMPLES[0]))
    expect(page.get_by_role("combobox", name="From")).to_have_value("auto")
    expect(page.get_by_role("combobox", name="From").locator("option").first).to_have_text("Detected: English")
    expect(page.locator(".translated")).to_have_text(doubled(EXAMPLES[0]))
    expect(page.get_by_role("button", name="Swap")).to_be_disabled()


def test_typed_text_is_translated(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=translate")
    page.get_by_label("Text to translate").fill("wind and rain")
    expect(page.get_by_label(TARGET)).to_have_text(doubled("wind and rain"))


def test_a_word_shows_its_attention(page: Page, address: str) -> None:
    shown(page, address)
    [sentence] = sentences(page, address)
    weights = sentence["attention"][0]["weights"]
    names = [token["text"] or token["special"] for token in sentence["source_tokens"]]
    words(page, TARGET).nth(1).hover()
    best = strongest(weights[1])
    expect(words(page, SOURCE).nth(best)).to_have_class("token strong")
    readout = page.locator(".both .readout")
    expect(readout).to_contain_text(f"attends to “{names[best]}” {percent(max(weights[1]))}")
    words(page, SOURCE).nth(2).focus()
    column = [row[2] for row in weights]
    written = sentence["target_tokens"][strongest(column)]["text"]
    expect(readout).to_contain_text(f"“{names[2]}” gets attention from “{written}”")


def test_the_heatmap_can_be_used_with_the_keyboard(page: Page, address: str) -> None:
    shown(page, address)
    [sentence] = sentences(page, address)
    row = sentence["attention"][0]["weights"][0]
    heatmap = page.get_by_role("img", name="Attention of")
    heatmap.focus()
    for _ in range(2):  # the first press selects the first cell
        page.keyboard.press("ArrowRight")
    readout = page.locator(".heatmap .readout")
    expect(readout).to_have_text(
        f"{sentence['target_tokens'][0]['text']} → {sentence['source_tokens'][1]['text']}: {percent(row[1])}"
    )
    expect(words(page, TARGET).nth(0)).to_have_class("token meant")
    box = heatmap.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + box["height"] - 10)
    expect(readout).to_contain_text(f"{sentence['target_tokens'][-1]['text']} → ")


def test_the_heatmap_is_saved(page: Page, address: str, tmp_path: Path) -> None:
    shown(page, address)
    [sentence] = sentences(page, address)
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save {kind}").click()
        download.value.save_as(tmp_path / kind)
        assert download.value.suggested_filename == f"en-xx-1.{kind.lower()}"
    assert (tmp_path / "PNG").read_bytes().startswith(b"\x89PNG")
    root = ET.parse(tmp_path / "SVG").getroot()
    labels = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    rows, columns = visible(sentence["target_tokens"]), visible(sentence["source_tokens"])
    assert labels[: len(rows + columns)] == [token["text"] for token in rows + columns]
    cells = len(rows) * len(columns)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + cells


@pytest.mark.parametrize("unit", ["Words", "Tokens"])
def test_words_and_tokens(page: Page, address: str, unit: str) -> None:
    shown(page, address, unit="token" if unit == "Words" else "word")
    if unit == "Tokens":
        options(page)
    page.get_by_role("radio", name=unit).check()
    named = unit[:-1].lower()
    [sentence] = sentences(page, address, attention_unit=named)
    expect(words(page, TARGET)).to_have_count(len(visible(sentence["target_tokens"], named)))
    expect(words(page, SOURCE)).to_have_count(len(visible(sentence["source_tokens"], named)))


def test_layers_heads_and_kinds(page: Page, address: str) -> None:
    shown(page, address)
    [sentence] = sentences(page, address, attention="full")
    of = {(m["kind"], m["layer"], m["head"]): m["weights"] for m in sentence["attention"]}
    options(page)
    attention = page.get_by_role("combobox", name="Attention")
    readout = page.locator(".both .readout")

    attention.select_option("cross")
    page.get_by_role("combobox", name="Head").select_option("1")
    page.wait_for_url("**matrix=cross.0.1**")
    expect(page.locator("#translation")).not_to_have_attribute("aria-busy", "true")
    words(page, TARGET).nth(2).hover()
    expect(readout).to_contain_text(f"{percent(max(of['cross', 0, 1][2]))}")

    attention.select_option("encoder_self")
    expect(page.locator("#translation")).not_to_have_attribute("aria-busy", "true")
    mean = [(a + b) / 2 for a, b in zip(of["encoder_self", 0, 0][1], of["encoder_self", 0, 1][1], strict=True)]
    words(page, SOURCE).nth(0).hover()
    words(page, SOURCE).nth(1).hover()
    expect(readout).to_contain_text("attends to")
    written = float(str(readout.text_content()).split("” ")[2].split(" %")[0])
    assert math.isclose(written, 100 * max(mean), abs_tol=0.11)

    attention.select_option("decoder_self")
    expect(page.locator("#translation")).not_to_have_attribute("aria-busy", "true")
    words(page, TARGET).nth(0).hover()
    words(page, TARGET).nth(3).hover()
    expect(readout).to_contain_text(f"“{sentence['target_tokens'][3]['text']}” attends to “")
    expect(page.get_by_role("img", name="Attention of")).to_be_visible()


def test_a_text_of_several_sentences(page: Page, address: str) -> None:
    text = "🎉 The wind is cold.\n\nNo way! A warm day, and no rain?"
    shown(page, address, text)
    found = sentences(page, address, text)
    assert len(found) > 1
    expect(page.locator(".pair")).to_have_count(0)
    page.locator(".translated span").nth(1).click()
    for index in (1, 0):
        start, end = found[index]["source"]["start"], found[index]["source"]["end"]
        expect(page.locator(".stepper")).to_contain_text(f"Sentence {index + 1} of {len(found)}")
        expect(page.get_by_label(TARGET)).to_have_text(found[index]["text"])
        assert page.get_by_label(SOURCE).text_content() == text[start:end]
        if index:
            page.get_by_role("button", name="Previous sentence").click()
    expect(page.get_by_role("button", name="Previous sentence")).to_be_disabled()
    expect(page.get_by_role("img", name="Attention of")).to_have_count(1)


def test_alternatives_have_their_scores(page: Page, address: str) -> None:
    shown(page, address)
    options(page)
    page.get_by_label("Alternatives").fill("2")
    page.get_by_label("Alternatives").press("Tab")
    [sentence] = sentences(page, address, alternatives=2)
    expect(page.locator(".hypotheses li")).to_have_count(1 + len(sentence["alternatives"]))
    expect(page.locator(".hypotheses li").nth(1)).to_contain_text(sentence["alternatives"][0]["text"])
    expect(page.locator(".score").nth(1)).to_have_text(f"{sentence['alternatives'][0]['score']:.2f}".replace("-", "−"))


def test_an_option_out_of_bounds_shows_the_error(page: Page, address: str) -> None:
    shown(page, address)
    options(page)
    page.get_by_label("Beam").fill("99")
    page.get_by_label("Beam").press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("beam_size")


def test_translators_are_compared(page: Page, address: str) -> None:
    shown(page, address)
    page.locator("#translator-compare summary").click()
    page.get_by_role("checkbox", name="en-xx-other").check()
    expect(page.locator(".panel")).to_have_count(2)
    for model in ("en-xx", "en-xx-other"):
        expect(page.locator(f"[data-model={model}] .translated")).to_have_text(doubled(TEXT))
        expect(page.locator(f"[data-model={model}]").get_by_label(TARGET)).to_have_text(doubled(TEXT))


def test_copies(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(1)
    sent = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    answer = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert ask(page, address, "translate", json.loads(sent[-1])) == answer
    page.get_by_role("button", name="Copy translation").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(3)
    assert page.evaluate("navigator.clipboard.readText()") == doubled(TEXT)


def test_a_language_pair_without_a_model(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=translate&q=wind&source=en&target=zz")
    expect(page.get_by_role("alert")).to_contain_text("No model translates between these languages")


def test_markup_is_text(page: Page, address: str) -> None:
    text = "<img src=x onerror=alert(1)> wind"
    shown(page, address, text)
    pieces = page.get_by_label(SOURCE).locator(".token").all_text_contents()
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert page.locator("main img").count() == 0


def test_touch_on_the_heatmap(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900}, has_touch=True)
    shown(page, address)
    heatmap = page.get_by_role("img", name="Attention of")
    box = heatmap.bounding_box()
    assert box is not None
    heatmap.tap(position={"x": box["width"] - 10, "y": box["height"] - 10})
    expect(page.locator(".heatmap .readout")).to_contain_text("→ .: ")
    page.close()


def test_all_heads_of_a_layer(page: Page, address: str) -> None:
    shown(page, address, matrix="cross.0.mean")
    [sentence] = sentences(page, address, attention="full")
    of = {m["head"]: m["weights"] for m in sentence["attention"] if (m["kind"], m["layer"]) == ("cross", 0)}
    heads = page.get_by_role("group", name="Heads of layer 0").get_by_role("button")
    expect(heads).to_have_count(len(of))
    asked: list[str] = []
    page.on("request", lambda request: asked.extend([request.url] * request.url.endswith("/translate")))
    heads.nth(1).click()
    expect(heads.nth(1)).to_have_attribute("aria-pressed", "true")
    words(page, TARGET).nth(2).hover()
    expect(page.locator(".both .readout")).to_contain_text(percent(max(of[1][2])))
    heads.nth(1).click()
    expect(heads.nth(1)).to_have_attribute("aria-pressed", "false")
    assert asked == []  # the answer has all heads


def test_all_layers(page: Page, address: str) -> None:
    shown(page, address, matrix="cross.0.mean")
    [sentence] = sentences(page, address, attention="full")
    [weights] = [m["weights"] for m in sentence["attention"] if (m["kind"], m["layer"]) == ("cross", 1)]
    layers = page.get_by_role("group", name="Layers").get_by_role("button")
    expect(layers).to_have_count(2)
    expect(layers.nth(0)).to_have_attribute("aria-pressed", "true")
    layers.nth(1).click()
    expect(layers.nth(1)).to_have_attribute("aria-pressed", "true")
    words(page, TARGET).nth(2).hover()
    expect(page.locator(".both .readout")).to_contain_text(percent(max(weights[2])))


def test_the_layer_of_the_summary_is_named(page: Page, address: str) -> None:
    shown(page, address)
    expect(page.get_by_text("Heatmap translation to source, layer 0 (chosen for its alignment)")).to_be_visible()


def test_the_scale_has_a_legend(page: Page, address: str) -> None:
    shown(page, address)
    expect(page.locator(".legend .scale span")).to_have_text(["0 %", "5 %", "25 %", "50 %", "100 %"])


def test_80_by_80_and_16_heads(page: Page, address: str, took: Callable[[Page, str], None]) -> None:
    count = 80
    spans: list[dict[str, Any]] = [{"text": f"word{i:02}", "start": 7 * i, "end": 7 * i + 6} for i in range(count)]
    text = " ".join(span["text"] for span in spans)
    weights = [[0.7 if i == j else 0.3 / (count - 1) for j in range(count)] for i in range(count)]
    sentence = {
        "text": text,
        "score": -0.1,
        "source": {"start": 0, "end": len(text)},
        "source_tokens": spans,
        "target_tokens": spans,
        "attention": [{"kind": "cross", "layer": 0, "head": head, "weights": weights} for head in range(16)],
    }
    made = {
        "translatedText": text,
        "model": "en-xx",
        "version": "1",
        "translations": [{"text": text, "sentences": [sentence]}],
    }
    page.route("**/translate", lambda route: route.fulfill(json=made))
    shown(page, address, text, source="en", matrix="cross.0.3")
    took(page, "translate")
    expect(page.locator(".heads button")).to_have_count(16)
    # Each label is readable; a wide matrix scrolls.
    canvas = page.get_by_role("img", name="Attention of")
    box = canvas.bounding_box()
    assert box is not None and box["width"] > 11 * count and box["height"] > 11 * count
    frame = page.locator(".heatmap .scroll")
    assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth")
    page.set_viewport_size({"width": 600, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    canvas.focus()
    for _ in range(count):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".heatmap .readout")).to_contain_text("word00 → word79")
    assert frame.evaluate("frame => frame.scrollLeft") > 0
    # The labels of the rows stay at the left side.
    labels, place = page.locator(".heatmap .labels").bounding_box(), frame.bounding_box()
    assert labels is not None and place is not None and abs(labels["x"] - place["x"]) < 1
    expect(page.locator(".heatmap .cue")).not_to_have_class(re.compile("more-right"))
    page.keyboard.press("Home")
    frame.evaluate("frame => { frame.scrollLeft = 0; }")
    expect(page.locator(".heatmap .cue")).to_have_class(re.compile("more-right"))
    width = canvas.evaluate("canvas => canvas.clientWidth")
    for _ in range(3):
        page.keyboard.press("+")
    assert canvas.evaluate("canvas => canvas.clientWidth") > width
