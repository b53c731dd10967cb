import json
import math
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.playground.conftest import EXAMPLES, answer, ask, percent

PROMPT = "The wind"
BODY = {"prompt": PROMPT, "max_tokens": 20, "temperature": 0.7, "seed": 7, "model": "writer"}


def shown(page: Page, address: str, **values: Any) -> None:
    """Open the page with a text."""
    given = {"view": "generate", "prompt": PROMPT, "length": 20, "seed": 7, **values}
    page.goto(f"{address}/#{urlencode(given, doseq=True)}")
    page.locator("#generate-results .panel:not(.growing)").first.wait_for()
    expect(page.locator("#generate-examples button")).to_have_count(len(EXAMPLES))


def tokens(page: Page) -> Locator:
    return page.locator("#generate-results .panel:not(.growing) [data-index]")


def test_the_first_example_is_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/#view=generate")
    expect(page.get_by_label("Prompt")).to_have_value(EXAMPLES[0])
    expect(page.locator("#generate-results .panel:not(.growing) .tokens")).to_contain_text(EXAMPLES[0])


def test_the_text_is_the_answer_of_the_service(page: Page, address: str) -> None:
    shown(page, address)
    expected = ask(page, address, "generate", BODY)
    expect(page.locator("#generate-results .tokens")).to_have_text(PROMPT + expected["text"], use_inner_text=False)
    expect(page.locator(".tokens .given")).to_have_count(len(expected["prompt_tokens"]))


def test_unlikely_tokens_are_shaded(page: Page, address: str) -> None:
    shown(page, address)
    expected = ask(page, address, "generate", BODY)
    unlikely = [1 - math.exp(token["logprob"]) for token in expected["tokens"]]
    shares = page.locator(".tokens span:not(.given)").evaluate_all(
        "spans => spans.map((span) => Number(span.style.getPropertyValue('--share')))"
    )
    visible = [share for share, token in zip(unlikely, expected["tokens"], strict=True) if token["text"]]
    assert shares == pytest.approx(visible, abs=2e-3)
    expect(page.locator(".tokens")).to_have_attribute("data-colour", "rare")


def test_a_token_shows_its_probability_and_attention(page: Page, address: str) -> None:
    shown(page, address)
    expected = ask(page, address, "generate", BODY)
    read = len(expected["prompt_tokens"])
    place = next(n for n, token in enumerate(expected["tokens"]) if token["text"].strip())
    page.locator(f"[data-index='{read + place}']").hover()
    row = expected["attention"][0]["weights"][place]
    readout = page.locator("#generate-results .readout")
    expect(readout).to_contain_text(percent(math.exp(expected["tokens"][place]["logprob"])))
    expect(readout).to_contain_text(f"({percent(max(row))})")
    best = row.index(max(row))
    share = float(page.locator(f"[data-index='{best}']").evaluate("e => e.style.getPropertyValue('--share')"))
    assert share == pytest.approx(math.sqrt(max(row)), abs=2e-3)
    expect(page.locator(".tokens")).to_have_attribute("data-colour", "attention")


def test_generating_again_gives_another_text_that_the_url_keeps(page: Page, address: str) -> None:
    shown(page, address, temperature=1.5)
    before = page.locator("#generate-results .tokens").inner_text()
    page.get_by_role("button", name="Generate again").click()
    expect(page.locator("#generate-results .panel:not(.growing) .tokens")).not_to_have_text(before)
    after = page.locator("#generate-results .panel:not(.growing) .tokens").inner_text()
    page.reload()
    expect(page.locator("#generate-results .panel:not(.growing) .tokens")).to_have_text(after)


STREAM = """
const real = window.fetch;
let ended = "";
window.fetch = (path, options) => {
  if (!String(path).endsWith("generate")) return real(path, options);
  const body = new ReadableStream({
    start(stream) {
      const send = (text, start) => {
        const token = JSON.stringify({ text, start, end: start + 1, logprob: -1 });
        stream.enqueue(new TextEncoder().encode(`event: token\\ndata: ${token}\\n\\n`));
      };
      ["a", "b", "c", ended].forEach(send);
      window.endEarly = () => {
        ended = "again";
        stream.close();
      };
    },
  });
  return Promise.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
};
"""


def test_tokens_are_streamed(page: Page, address: str) -> None:
    """Tokens are shown before the answer is complete. A stream that ends early is an error, and is asked for again."""
    page.add_init_script(STREAM)
    page.goto(f"{address}/#view=generate&prompt=xyz")
    expect(page.locator("#generate-results .growing .tokens")).to_have_text("xyzabc")
    page.evaluate("endEarly()")
    expect(page.locator("#status")).to_contain_text("cannot be reached")
    expect(page.locator("#generate-results .growing .tokens")).to_have_text("xyzabcagain")


def test_models_side_by_side(page: Page, address: str) -> None:
    shown(page, address, model=["writer", "writer-other"])
    panels = page.locator("#generate-results .panel:not(.growing)")
    expect(panels).to_have_count(2)
    expect(panels.nth(0).locator(".tokens")).to_have_text(panels.nth(1).locator(".tokens").inner_text())


@pytest.mark.parametrize(("status", "error_type", "message"), [(429, "overloaded", "The service is busy")])
def test_an_error(page: Page, address: str, status: int, error_type: str, message: str) -> None:
    page.route("**/generate", lambda route: answer(route, status, error_type, {"Retry-After": "3"}))
    page.goto(f"{address}/#view=generate&prompt=wind")
    problem = page.locator("#generate-results .problem")
    expect(problem).to_contain_text(message)
    expect(problem).to_contain_text("Wait 3 s")
    page.unroute("**/generate")
    problem.get_by_role("button", name="Try again").click()
    expect(page.locator("#generate-results .panel:not(.growing) .tokens")).to_be_visible()


def test_the_curl_command_is_the_request(page: Page, address: str) -> None:
    shown(page, address)
    page.get_by_role("button", name="Copy as curl").click()
    command = page.evaluate("navigator.clipboard.readText()")
    assert f"{address}/generate" in command and '"seed":7' in command


def test_options_of_sampling(page: Page, address: str) -> None:
    shown(page, address)
    page.locator("#generate-options > summary").click()
    for label, value in (("Top-p", "0.5"), ("Seed", "9"), ("Stop at", r"\n")):
        with page.expect_request("**/generate") as sent:
            page.get_by_label(label).fill(value)
            page.get_by_label(label).press("Tab")
    body = json.loads(sent.value.post_data or "")
    assert (body["top_p"], body["seed"], body["stop"]) == (0.5, 9, "\n")
    expect(page.locator(".panel:not(.growing) .readout")).to_contain_text("Seed 9 gives this text again.")
    expected = ask(page, address, "generate", {**BODY, "top_p": 0.5, "seed": 9, "stop": "\n"})
    expect(page.locator(".panel:not(.growing) .tokens")).to_have_text(PROMPT + expected["text"], use_inner_text=False)
    with page.expect_request("**/generate") as sent:
        page.get_by_label("Seed").fill("8")
        page.get_by_label("Seed").press("Enter")
    assert json.loads(sent.value.post_data or "")["seed"] == 8  # Enter does not draw another seed
    page.reload()
    expect(page.get_by_label("Top-p")).to_have_value("0.5")
