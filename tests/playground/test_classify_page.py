import csv
import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.fakes import LABELS, MAX_TOKENS
from tests.playground.conftest import EXAMPLES, METRICS, USE, answer, ask, percent

TEXT = "No way! A warm day, and no rain?"


def shown(page: Page, address: str, text: str = TEXT, **values: str) -> None:
    """Open the page with a text."""
    page.goto(f"{address}/#{urlencode({'view': 'classify', 'text': text, **values})}")
    page.locator("#classify-results .verdict, #classify-results .problem").first.wait_for()
    expect(page.get_by_label("Text to classify")).to_have_value(text)
    expect(model_select(page)).to_contain_text("accuracy")  # the details of the models are loaded


def model_select(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Model")


def tokens(page: Page, model: str = "toy") -> list[str]:
    return page.locator(f"[data-model={model}] .token").all_text_contents()


def test_the_first_example_is_shown(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_label("Text to classify")).to_have_value(EXAMPLES[0])
    expect(page.locator(".verdict")).to_be_visible()
    expect(model_select(page)).to_contain_text("accuracy 75.0 %")
    expect(page.locator("#classifier-about")).to_have_text(
        f"Intended use: {USE} A fake. Measured: accuracy 75.0 % on {METRICS[0]['data']}."
    )
    page.get_by_role("button", name=EXAMPLES[1]).click()
    expect(page.get_by_label("Text to classify")).to_have_value(EXAMPLES[1])
    expect(page.locator(".tokens")).to_have_text(EXAMPLES[1])


def test_typed_text_is_classified(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Text to classify").fill(TEXT)
    expect(page.locator(".tokens")).to_have_text(TEXT)
    [prediction] = ask(page, address, "classify", {"text": TEXT, "attention_unit": "word"})["predictions"]
    expect(page.locator(".verdict b")).to_have_text(prediction["label"])
    bars = page.get_by_label("Probability of each label").get_by_role("listitem").all_text_contents()
    assert sorted(bar.split("%")[0].rstrip("0123456789. ") for bar in bars) == sorted(LABELS)
    assert tokens(page) == [token["text"] for token in prediction["tokens"]]


def test_shades_and_readout_show_the_weights(page: Page, address: str) -> None:
    shown(page, address)
    [prediction] = ask(page, address, "classify", {"text": TEXT, "attention_unit": "word"})["predictions"]
    [weights] = prediction["attention"][0]["weights"]
    shares = page.locator(".token").evaluate_all("all => all.map(e => Number(e.style.getPropertyValue('--share')))")
    assert shares == pytest.approx([math.sqrt(weight) for weight in weights], abs=1e-3)
    readout = page.locator(".readout")
    expect(readout).to_contain_text("Largest weight:")
    page.locator(".token").nth(3).hover()
    expect(readout).to_have_text(f"“{prediction['tokens'][3]['text']}” {percent(weights[3])}")
    page.mouse.move(1, 1)
    expect(readout).to_contain_text("Largest weight:")


def test_words_can_be_selected_with_the_keyboard(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_role("button", name="Classify").focus()
    for _ in range(3):  # past the file and the link to the model's page
        page.keyboard.press("Tab")
    first, second, *_ = tokens(page)
    expect(page.locator(".readout")).to_contain_text(f"“{first}”")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".readout")).to_contain_text(f"“{second}”")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".token").last).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".explain > summary")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy as curl")).to_be_focused()


@pytest.mark.parametrize("text", ["🎉 wind 🎊🎊 and 𝔯𝔞𝔦𝔫 no", "é ü  wind\n\n  rain", "e\u0301 wind 👩‍👩‍👧 day"])
def test_offsets_are_code_points(page: Page, address: str, text: str) -> None:
    shown(page, address, text)
    [prediction] = ask(page, address, "classify", {"text": text, "attention_unit": "word"})["predictions"]
    assert page.locator(".tokens").text_content() == text
    assert tokens(page) == [token["text"] for token in prediction["tokens"] if token["text"]]


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)> wind", "<script>alert(1)</script>", "&lt;b&gt; <b>a"])
def test_markup_is_text(page: Page, address: str, text: str) -> None:
    shown(page, address, text, unit="token")
    expect(page.locator(".tokens, .problem").first).to_be_visible()
    if page.locator(".tokens").count():
        assert page.locator(".tokens").text_content() == text
    assert page.locator("main img, main script, main b:not(.verdict b):not(.choices b)").count() == 0


def test_models_are_compared_on_the_same_text(page: Page, address: str) -> None:
    shown(page, address)
    page.locator("#classifier-compare summary").click()
    page.get_by_role("checkbox", name="toy-other").check()
    expect(page.locator(".panel")).to_have_count(2)
    expect(page.locator("#classifier-compare summary")).to_have_text("Comparing 2")
    page.keyboard.press("Escape")
    page.locator("[data-model=toy] .token").nth(2).hover()
    for model in ("toy", "toy-other"):
        expect(page.locator(f"[data-model={model}] .meant")).to_have_text("!")
    page.locator("#classifier-compare summary").click()
    page.get_by_role("button", name="Only one").click()
    expect(page.locator(".panel")).to_have_count(1)
    page.get_by_role("button", name="All 2").click()
    expect(page.locator(".panel")).to_have_count(2)


def test_the_labels_of_all_models_are_counted(page: Page, address: str) -> None:
    shown(page, address, model="toy")
    expect(page.locator("#classify-results > .tally")).to_have_count(0)
    page.goto(f"{address}/#{urlencode({'view': 'classify', 'text': TEXT, 'model': ['toy', 'toy-other']}, doseq=True)}")
    [prediction] = ask(page, address, "classify", {"text": TEXT})["predictions"]
    expect(page.locator("#classify-results > .tally")).to_have_text(f"2 {prediction['label']}")


def test_ctrl_and_enter_send_the_text(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_label("Text to classify").focus()
    with page.expect_request("**/classify"):
        page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Text to classify")).to_have_value(TEXT)


def test_a_file_of_texts(page: Page, address: str, tmp_path: Path) -> None:
    texts = ["The wind is cold.", 'No way, "you"!', "wind\nand rain", "=wind"]
    rows = "id,text\r\n" + "".join(f'{i},"{text.replace(chr(34), 2 * chr(34))}"\r\n' for i, text in enumerate(texts))
    page.goto(f"{address}/#view=classify&model=toy")
    page.get_by_text("Classify a file").click()
    page.get_by_label("File to classify").set_input_files(
        {"name": "notes.csv", "mimeType": "text/csv", "buffer": (rows + "4,\r\n").encode()}
    )
    expected = ask(page, address, "classify", {"text": texts, "model": "toy"})["predictions"]
    table = page.get_by_role("region", name="Results of the file")
    expect(table.locator("tbody tr")).to_have_count(5)
    for index, prediction in enumerate(expected):
        row = table.locator("tbody tr").nth(index)
        expect(row).to_contain_text(f"{prediction['label']} {percent(prediction['score'])}")
    expect(page.locator("#classify-file-state .tally")).to_contain_text("1 empty")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    assert download.value.suggested_filename == "notes-labels.csv"
    download.value.save_as(tmp_path / "saved.csv")
    saved = list(csv.reader((tmp_path / "saved.csv").read_text(encoding="utf-8-sig").splitlines(keepends=True)))
    assert saved[0] == ["id", "text", "toy label", "toy score"]
    assert [row[1] for row in saved[1:]] == [*texts[:3], "'=wind", ""]  # no formula for a spreadsheet
    assert [row[2] for row in saved[1:]] == [*(prediction["label"] for prediction in expected), ""]


def test_a_file_waits_for_a_busy_service(page: Page, address: str) -> None:
    asked = []

    def busy(route: Route) -> None:
        texts = json.loads(route.request.post_data or "")["text"]
        if isinstance(texts, list):
            asked.append(len(texts))
        if asked == [3]:
            answer(route, 413, "too_many_tokens")
        else:
            route.continue_()

    page.goto(f"{address}/#view=models")
    page.route("**/classify", busy)
    page.goto(f"{address}/#view=classify&model=toy")
    page.get_by_text("Classify a file").click()
    page.get_by_label("File to classify").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"wind\nrain\nwind and rain\n"}
    )
    expect(page.get_by_role("region", name="Results of the file").locator("tbody tr")).to_have_count(3)
    assert asked == [3, 2, 1]


def test_the_url_has_the_state_of_the_view(page: Page, address: str, browser: Browser) -> None:
    shown(page, address, model="toy-other")
    page.get_by_role("radio", name="Tokens").check()
    [prediction] = ask(page, address, "classify", {"text": TEXT})["predictions"]
    expect(page.locator(".token")).to_have_count(len(prediction["tokens"]))
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert TEXT not in link.split("#")[0] and link.startswith(address)
    other = browser.new_page()
    other.goto(link)
    expect(other.locator(".panel")).to_have_attribute("data-model", "toy-other")
    expect(other.locator(".token")).to_have_count(len(prediction["tokens"]))
    other.close()
    page.get_by_role("link", name="Translate").click()
    expect(page.get_by_label("Text to translate")).to_be_visible()
    page.get_by_role("link", name="Classify").click()
    expect(page.get_by_label("Text to classify")).to_have_value(TEXT)
    page.go_back()
    expect(page.get_by_label("Text to translate")).to_be_visible()


def test_every_matrix_can_be_chosen(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_role("combobox", name="Attention").select_option("self")
    page.get_by_role("combobox", name="Head").select_option("1")
    expect(page.get_by_text("Heatmap", exact=True)).to_be_visible()
    page.wait_for_url("**matrix=self.0.1**")
    full = {"text": TEXT, "attention": "full", "attention_unit": "word"}
    [prediction] = ask(page, address, "classify", full)["predictions"]
    [matrix] = [m for m in prediction["attention"] if (m["kind"], m["head"]) == ("self", 1)]
    page.locator(".token").nth(0).hover()
    row = matrix["weights"][0]
    strongest = prediction["tokens"][row.index(max(row))]["text"]
    expect(page.locator(".panel > .readout")).to_contain_text(f"gives most weight to “{strongest}” {percent(max(row))}")
    page.get_by_text("Heatmap", exact=True).click()
    expect(page.get_by_role("img", name="Attention of")).to_be_visible()


def test_copies(page: Page, address: str) -> None:
    text = 'it\'s wind; no "rain"'
    shown(page, address, text)
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    body = {"text": text, "model": "toy", "attention": "summary", "attention_unit": "word"}
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == ask(page, address, "classify", body)
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert words[:3] == ["curl", "-s", f"{address}/classify"]
    assert json.loads(words[words.index("-d") + 1]) == body


def test_a_text_over_the_limit_can_be_truncated(page: Page, address: str) -> None:
    shown(page, address, "wind " * 2 * MAX_TOKENS)
    expect(page.locator(".problem")).to_contain_text("The text is too long for this model")
    expect(page.locator(".problem")).to_contain_text(f"reads up to {MAX_TOKENS}")
    page.get_by_role("button", name="Truncate the text").click()
    expect(page.locator(".panel")).to_contain_text("truncated at the model's limit")


def test_an_empty_text(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_label("Text to classify").fill(" ")
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".problem")).to_contain_text("The text is empty")


def test_a_busy_service(page: Page, address: str) -> None:
    page.route("**/classify", lambda route: answer(route, 429, "overloaded", {"Retry-After": "3"}))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("The service is busy")
    expect(page.get_by_role("alert")).to_contain_text("Wait 3 s before the next try.")
    page.unroute("**/classify")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".verdict")).to_be_visible()


def test_models_that_are_loading(page: Page, address: str) -> None:
    def loading(route: Route) -> None:
        listed = route.fetch().json()
        for model in listed["models"]:
            model.update(ready=False, problem="still loading")
        route.fulfill(json=listed)

    page.route("**/models", loading)
    page.route("**/classify", lambda route: answer(route, 503, "model_not_ready"))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("The model is not ready")
    expect(model_select(page)).to_contain_text("not ready")
    page.unroute("**/classify")
    page.unroute("**/models")
    expect(page.locator(".verdict")).to_be_visible()


@pytest.mark.parametrize(
    ("status", "error_type", "title"),
    [(504, "inference_timeout", "The answer took too long"), (500, "inference_failed", "Inference failed")],
)
def test_other_errors_have_the_title_of_the_service(
    page: Page, address: str, status: int, error_type: str, title: str
) -> None:
    page.route("**/classify", lambda route: answer(route, status, error_type))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text(title)
    expect(page.get_by_role("alert")).to_contain_text("So it is.")


def test_an_answer_of_a_proxy(page: Page, address: str) -> None:
    page.route("**/classify", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("Unexpected answer: HTTP 502")


def test_a_link_to_an_unknown_model(page: Page, address: str) -> None:
    shown(page, address, model="gone")
    expect(page.get_by_role("alert")).to_contain_text("Unknown model")


def test_300_tokens(page: Page, address: str, took: Callable[[Page, str], None]) -> None:
    text = " ".join(f"wind{i}" for i in range(300))
    spans, start = [], 0
    for word in text.split():
        spans.append({"text": word, "start": start, "end": start + len(word)})
        start += len(word) + 1
    prediction: dict[str, Any] = {
        "label": "cold",
        "score": 1,
        "scores": {"cold": 1},
        "truncated": False,
        "tokens": spans,
    }
    prediction["attention"] = [{"kind": "pooling", "layer": None, "head": None, "weights": [[1 / 300] * 300]}]
    made = {"model": "toy", "version": "1", "predictions": [prediction]}
    page.route("**/classify", lambda route: route.fulfill(json=made))
    shown(page, address, text)
    assert len(tokens(page)) == 300
    took(page, "classify")
