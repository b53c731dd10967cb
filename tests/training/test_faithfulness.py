"""The section of the card: numbers that are known, and its place."""

import numpy as np

from training.faithfulness import section_of, with_section

CARD = "# sms-spam\n\n## Results\n\nGood.\n\n## Data\n\nTexts.\n"


def values(attention: float) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(5).normal(size=(400, 1)) / 100
    nothing = np.full((400, 1), np.nan)
    random = np.concatenate([0.1 + noise, 0.2 - noise, nothing], axis=1)
    return {"random": random, "attention": np.concatenate([attention + noise, 0.1 - noise, 0.5 + noise], axis=1)}


def test_attention_that_explains_more_than_random_orders() -> None:
    section = section_of(values(0.3), 7)
    assert "3.0 times as much" in section and "7 random orders" in section and "400 test texts" in section
    [row] = [line for line in section.splitlines() if line.startswith("| attention")]
    assert "3.0 (" in row and row.endswith("| 0.50 |")


def test_attention_that_explains_no_more_than_random_orders() -> None:
    assert "no more than random" in section_of(values(0.1), 7)


def test_the_place_of_the_section() -> None:
    first, second = section_of(values(0.3), 7), section_of(values(0.1), 9)
    card = with_section(CARD, first)
    assert card.index("## Results") < card.index("## Faithfulness") < card.index("## Data")
    changed = with_section(card, second)
    assert changed == with_section(CARD, second) and changed.count("## Faithfulness") == 1
