"""Translations of whole texts: detected languages, sentences one by one, glossaries, documents, long texts."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.fakes import doubled
from tests.playground.conftest import TOKEN, answer, tmx
from tests.playground.test_translate_page import options, shown

KOREAN = "오늘은 날씨가 아주 좋습니다. 내일은 비가 옵니다."


def opened(page: Page, address: str, q: str, **values: str) -> None:
    page.goto(f"{address}/#{urlencode({'view': 'translate', 'q': q, **values})}")


def test_a_text_in_a_language_without_a_model_is_not_translated(page: Page, address: str) -> None:
    opened(page, address, KOREAN)
    notice = page.locator("#translate-notice")
    expect(notice).to_contain_text(
        "Detected Korean. No model translates from Korean. The service translates from English."
    )
    expect(page.get_by_role("combobox", name="From").locator("option").first).to_have_text("Detected: Korean")
    expect(page.locator(".translated")).to_have_count(0)
    notice.get_by_role("button", name="Translate as English").click()
    expect(notice).to_contain_text("Detected Korean, but the text is translated from English.")
    expect(page.get_by_role("combobox", name="From")).to_have_value("en")
    page.get_by_label("Text to translate").fill("The wind is cold.")
    expect(page.locator(".translated")).to_have_text(doubled("The wind is cold."))
    expect(notice).to_be_empty()


def test_the_use_of_the_model_is_beside_the_text(page: Page, address: str) -> None:
    shown(page, address)
    expect(page.locator("#translator-about")).to_contain_text("Intended use: Testing the page.")


STREAM = """
const real = window.fetch;
window.fetch = (path, options) => {
  if (!String(path).endsWith("translate")) return real(path, options);
  const body = new ReadableStream({
    start(stream) {
      window.send = (name, content) =>
        stream.enqueue(new TextEncoder().encode(`event: ${name}\\ndata: ${JSON.stringify(content)}\\n\\n`));
      options.signal.addEventListener("abort", () => stream.error(new DOMException("aborted", "AbortError")));
    },
  });
  return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
};
window.finish = (number, start, end, text) => send("sentence", { translation: 0, number, sentence: {
  text, score: -1, source: { start, end }, source_tokens: [], target_tokens: [], attention: [] } });
"""
TWO = "The wind is cold.\nIt is a warm day."


def test_sentences_are_shown_in_order_while_others_are_translated(page: Page, address: str) -> None:
    page.add_init_script(STREAM)
    opened(page, address, TWO, source="en")
    page.wait_for_function("() => window.send !== undefined")
    page.evaluate("finish(1, 18, 35, 'Second.')")
    text = page.locator(".translated")
    expect(text).to_have_text("Second. ")
    expect(page.locator("#translate-progress")).to_contain_text("1 sentence, 48 %")
    page.evaluate("finish(0, 0, 17, 'First.')")
    expect(text).to_have_text("First.\nSecond. ", use_inner_text=True)
    expect(page.locator("#translate-progress")).to_contain_text("2 sentences, 97 %")


def test_an_error_keeps_the_finished_sentences(page: Page, address: str) -> None:
    page.add_init_script(STREAM)
    opened(page, address, TWO, source="en")
    page.wait_for_function("() => window.send !== undefined")
    page.evaluate("finish(0, 0, 17, 'First.')")
    page.evaluate("send('error', { status: 504, error_type: 'inference_timeout', title: '', detail: 'too long' })")
    expect(page.get_by_role("alert")).to_contain_text("The answer took too long")
    expect(page.locator(".translated")).to_contain_text("First.")


def test_a_translation_is_cancelled(page: Page, address: str) -> None:
    page.add_init_script(STREAM)
    opened(page, address, TWO, source="en")
    page.wait_for_function("() => window.send !== undefined")
    page.evaluate("finish(0, 0, 17, 'First.')")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#translate-progress")).to_have_text(
        "Cancelled. 48 % of the text is translated.", use_inner_text=True
    )
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.locator(".translated")).to_contain_text("First.")
    expect(page.locator("#translation")).not_to_have_attribute("aria-busy", "true")


def test_a_translation_is_cancelled_before_its_first_sentence(page: Page, address: str) -> None:
    """The answer to the text before does not stay."""
    shown(page, address, "wind")
    page.route("**/translate", lambda route: None)
    page.get_by_label("Text to translate").fill(TWO)
    expect(page.locator("#translate-progress")).to_contain_text("Translating…")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#translate-progress")).to_have_text("Cancelled.", use_inner_text=True)
    expect(page.locator(".translated")).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")


def test_a_glossary(page: Page, address: str) -> None:
    shown(page, address, "The wind is cold.")
    options(page)
    page.get_by_label("Glossary", exact=True).fill("wind = breeze\nnothing")
    with page.expect_request("**/translate") as sent:
        page.get_by_label("Glossary", exact=True).press("Tab")
    assert json.loads(sent.value.post_data or "")["glossary"] == {"wind": "breeze"}
    expect(page.locator("#translation")).to_contain_text("Glossary: wind → breeze")


def test_a_memory(page: Page, address: str) -> None:
    """A TMX file is stored and used: exact matches, similar texts, and the request that is copied."""
    shown(page, address, "A warm day, and rain. The wind is warm. No way!")
    options(page)
    content = tmx({"A warm day, and rain.": "IL PLEUT", "The wind is warm!": "LE VENT"}).encode()
    page.get_by_label("Add a translation memory").set_input_files(
        {"name": "my texts.tmx", "mimeType": "text/xml", "buffer": content}
    )
    page.get_by_label("Admin token").fill(TOKEN)
    page.get_by_label("Admin token").press("Enter")
    expect(page.get_by_role("combobox", name="Translation memory")).to_have_value("my-texts")
    expect(page.get_by_text("From the translation memory")).to_contain_text("1 of 3 sentences")
    rows = page.locator(".matches li")
    expect(rows).to_have_text([re.compile("^exact"), re.compile(r"^9\d.\d %The wind is warm!LE VENT")])
    expect(page.locator(".translated .remembered")).to_have_text("IL PLEUT")
    page.locator(".translated .remembered").click()
    expect(page.locator("#translate-results")).to_contain_text("This sentence is from the translation memory.")
    page.get_by_role("button", name="Copy as curl").click()
    assert '"memory":"my-texts"' in page.evaluate("navigator.clipboard.readText()")
    page.get_by_label("Text to translate").fill("A warm day, and rain.")
    expect(page.locator("#translation")).to_contain_text("The whole text is in the translation memory.")
    page.get_by_label("Text to translate").fill("!?")
    expect(page.locator("#translation")).to_contain_text("No text of the translation memory is like this text.")
    page.reload()
    expect(page.get_by_role("combobox", name="Translation memory")).to_have_value("my-texts")


def test_a_memory_that_only_the_machine_of_the_service_can_store(page: Page, address: str) -> None:
    page.route("**/admin/memories/ui", lambda route: answer(route, 403, "forbidden"))
    shown(page, address, "The wind is cold.")
    options(page)
    page.get_by_label("Add a translation memory").set_input_files(
        {"name": "ui.tmx", "mimeType": "text/xml", "buffer": b"<tmx/>"}
    )
    page.get_by_role("button", name="Copy command").click()
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert words[:3] == ["curl", "-T", "ui.tmx"] and words[-1] == f"{address}/admin/memories/ui"


def test_a_document(page: Page, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/#view=translate&source=en")
    page.get_by_text("Document", exact=True).click()
    expect(page.locator("#document-formats")).to_contain_text("txt")
    page.get_by_label("Document to translate").set_input_files(
        {"name": "notice.txt", "mimeType": "text/plain", "buffer": b"The wind is cold.\n"}
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Save notice_xx.txt").click()
    download.value.save_as(tmp_path / "notice")
    assert (tmp_path / "notice").read_text().strip() == doubled("The wind is cold.")
    page.get_by_label("Document to translate").set_input_files(
        {"name": "notice.exe", "mimeType": "text/plain", "buffer": b"The wind is cold.\n"}
    )
    expect(page.locator("#document-state").get_by_role("alert")).to_be_visible()


def test_2035_words(page: Page, address: str) -> None:
    """The page stays short, a key press is handled in time, and the link asks before it contains the text."""
    text = ("The wind is cold. " * 509)[:-1]
    words = text.split()[:2035]
    page.goto(f"{address}/#view=translate&source=en")
    page.get_by_label("Text to translate").fill(" ".join(words))
    expect(page.locator("#q-count")).to_contain_text("2,035 words")
    expect(page.locator("#translation .under")).to_contain_text("509 sentences", timeout=30_000)
    page.locator(".translated span").first.click()
    assert page.evaluate("document.documentElement.scrollHeight / innerHeight") < 3
    assert len(page.url) < 2500
    milliseconds = page.evaluate(
        """() => {
          const start = performance.now();
          const area = document.querySelector("#q");
          area.value += "x";
          area.dispatchEvent(new Event("input", { bubbles: true }));
          document.body.getBoundingClientRect();
          return performance.now() - start;
        }"""
    )
    print(f"key press in 2,035 words: {milliseconds:.0f} ms")
    page.get_by_role("link", name="Classify").click()
    page.get_by_role("link", name="Translate").click()
    expect(page.get_by_label("Text to translate")).to_have_value(" ".join(words) + "x")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="With the text").click()
    assert len(page.evaluate("navigator.clipboard.readText()")) > 8000
