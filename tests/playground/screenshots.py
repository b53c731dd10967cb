"""Take the screenshots of docs/playground/: `python -m tests.playground.screenshots [NAME...]`, by default all."""

import math
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from tests.conftest import REAL_MODELS
from tests.listening import listening
from tests.playground.browsing import browsing

FOLDER = Path(__file__).parents[2] / "docs" / "playground"
COMPARE = "".join(f"&model=sms-spam{score}" for score in ("", "-dot", "-scaled-dot", "-general", "-location"))
WON = "URGENT! You have won a 1 week FREE holiday. Call 09061234567 to claim."
PRIZE = "Are you free for lunch? Call me to claim your prize"
JACKET = "A man in a red jacket is riding a bicycle down the street."
GENERATIONS = "".join(f"&model=en-fr{network}" for network in ("-bahdanau", "-luong", ""))
BEGINNING = "The philosopher of the future will be "
MARGIN = 24  # pixels around the answer
VIEWS = {  # picture -> hash, width, height, colours
    "classify": (f"view=classify&text={WON}&model=sms-spam", 1100, 900, "light"),
    "compare": (f"view=classify&text={WON}{COMPARE}", 1240, 1180, "light"),
    "translate": (f"view=translate&q={JACKET}&source=en&target=fr", 1100, 1350, "light"),
    "generations": (f"view=translate&q={JACKET}&source=en&target=fr{GENERATIONS}", 1640, 1480, "light"),
    "translate-dark": (f"view=translate&q={JACKET}&source=en&target=fr", 1100, 1350, "dark"),
    "classify-dark": (f"view=classify&text={WON}&model=sms-spam", 1100, 900, "dark"),
    "phone": (f"view=classify&text={WON}&model=sms-spam", 390, 1020, "light"),
    "phone-translate": (f"view=translate&q={JACKET}&source=en&target=fr", 390, 1750, "dark"),
    "generate": (f"view=generate&prompt={BEGINNING}&model=nietzsche-attention&seed=7", 1100, 900, "light"),
    "models": ("view=models", 1100, 1250, "light"),
    "explain": (f"view=classify&text={PRIZE}&model=sms-spam&explain=true", 1000, 1500, "light"),
}


def take(browser: Browser, address: str, name: str) -> None:
    hash_, width, height, colours = VIEWS[name]
    page: Page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=colours)  # type: ignore[arg-type]
    page.set_default_timeout(120_000)
    page.goto(f"{address}/#{hash_}")
    page.wait_for_load_state("networkidle", timeout=120_000)
    page.reload()  # the time of the first request has that of the first run of the network
    page.wait_for_load_state("networkidle", timeout=120_000)
    if "explain" in hash_:
        page.get_by_role("radio", name="Occlusion").check()
        page.locator(".removal input[type=range]").fill("4")
        page.locator(".removal input[type=range]").blur()
    elif "classify" in hash_:
        page.locator(".token").nth(4).hover()
    if "generate" in hash_:
        page.locator(".panel:not(.growing) .token").nth(120).hover()
    if "translate" in hash_:
        page.get_by_label("Words of the translation").first.locator(".token").nth(4).hover()
    path = FOLDER / f"{name}.png"
    if "explain" in hash_:
        box = page.locator(".panel").bounding_box()
        assert box is not None
        height = math.ceil(box["y"] + box["height"]) + MARGIN
        page.set_viewport_size({"width": width, "height": height})
        top = box["y"] - MARGIN
        page.screenshot(path=path, clip={"x": 0, "y": top, "width": width, "height": height - top})
    else:
        page.screenshot(path=path)
    page.close()
    # The maximum coverage keeps the colours of small areas, the median cut shades that are nearly those of the paper.
    method = Image.Quantize.MAXCOVERAGE if "explain" in hash_ else Image.Quantize.MEDIANCUT
    Image.open(path).convert("RGB").quantize(256, method).save(path, optimize=True)


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with listening(REAL_MODELS) as address, browsing() as browser:
        for name in names or VIEWS:
            take(browser, address, name)


if __name__ == "__main__":
    main(sys.argv[1:])
