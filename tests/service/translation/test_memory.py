import builtins
import random
from typing import Any

import pytest

from service.errors import NotAvailable
from service.translation import memory as module
from service.translation.memory import TranslationMemory, normalised
from service.translation.results import Match

UNITS = {"Open the file": "Ouvrir le fichier", "the <b>wind</b> & rain": "le <b>vent</b> & la pluie", "eau": "water"}
MEMORY = TranslationMemory(UNITS)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Open the file", "Ouvrir le fichier"),
        ("open  the\nfile", "Ouvrir le fichier"),
        (" Open the file\n", " Ouvrir le fichier\n"),
        ("Eau", "Water"),
        ("The <b>wind</b> & rain", "Le <b>vent</b> & la pluie"),
    ],
)
def test_exact_matches(text: str, target: str) -> None:
    found = MEMORY.find(text, 1)
    assert found is not None and found.is_exact
    assert (found.score, found.target) == (1.0, target)


@pytest.mark.parametrize("text", ["Open the File", "Open the file.", "", " \n", "Open"])
def test_other_texts_have_no_exact_match(text: str) -> None:
    assert MEMORY.find(text, 1) is None


def test_html() -> None:
    memory = TranslationMemory({"wind & rain": "vent < pluie", "the <i>sea</i>": "la <i>mer</i>"})
    assert memory.find("wind &amp; rain", 1, "html") == Match(1.0, "wind & rain", "vent &lt; pluie")
    assert memory.find("the <i>sea</i>", 1, "html") == Match(1.0, "the <i>sea</i>", "la <i>mer</i>")
    assert memory.find("the <b>sea</b>", 1, "html") is None


def test_the_most_similar_text() -> None:
    assert MEMORY.find("Open the files", 0.75) == Match(0.962, "Open the file", "Ouvrir le fichier")
    assert MEMORY.find("Open the files", 0.97) is None
    assert MEMORY.find("Close a window", 0.75) is None
    assert MEMORY.find("Open the files" + " " * module.MAX_FUZZY, 0.75) is not None
    assert TranslationMemory({"a" * 5_000: "b"}).find("a" * 4_999, 0.75) is None


def test_a_fuzzy_match_is_never_exact() -> None:
    found = TranslationMemory({"a" * 999: "b"}).find("a" * 998 + "A", 0.75)
    assert found is not None and not found.is_exact and found.score == 0.998
    found = TranslationMemory({"a" * 1_000: "b"}).find("a" * 999 + " A", 0.75)
    assert found is None


def test_lengths_and_chunks_leave_out_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is that of a comparison with all units."""
    from rapidfuzz import fuzz

    monkeypatch.setattr(module, "CHUNK", 7)
    rng = random.Random(5)
    texts = ["".join(rng.choices("ab ", k=rng.randint(1, 20))) + "x" for _ in range(120)]
    memory = TranslationMemory(dict.fromkeys(texts[:100], "y"))
    keys = {normalised(text) for text in texts[:100]}
    for text in texts[100:]:
        best = max(fuzz.ratio(normalised(text), key) for key in keys)
        found = memory.find(text, 0.75)
        assert (0 if found is None else found.score) == pytest.approx(best / 100 if best >= 75 else 0, abs=0.0011)


def test_without_rapidfuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *others: Any) -> Any:
        if name == "rapidfuzz":
            raise ImportError(name)
        return imported(name, *others)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert MEMORY.find("Open the file", 0.75) is not None
    assert MEMORY.find("Open the files", 1) is None
    with pytest.raises(NotAvailable, match="memory_threshold 1"):
        MEMORY.find("Open the files", 0.75)
