"""Word pairs from sentence pairs."""

from collections import Counter

import pytest

from training.corpora import lexicon as module
from training.corpora.corpus import SentencePair
from training.corpora.lexicon import Entry, common_beginning, lexicon
from training.corpora.mixing import LEXICON, MixedPairs
from training.recipe import Mixture

PAIRS = [
    ("Cancel the file", "Annuler le fichier"),
    ("The", "Le"),
    ("Cancel", "Annuler"),
    ("The file", "Le fichier"),
    ("Save the file", "Enregistrer le fichier"),
    ("Save the password", "Enregistrer le mot de passe"),
    ("Password", "Mot de passe"),
    ("A new password", "Un nouveau mot de passe"),
    ("Today", "Aujourd'hui"),
    ("Cancel today", "Annuler aujourd'hui"),
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_COUNT", 2)
    monkeypatch.setattr(module, "FUNCTION_WORD", 0.35)


def test_words_are_linked_both_ways() -> None:
    found = {entry.source: entry.target for entry in lexicon(PAIRS) if entry.source != "the"}
    assert found == {
        "cancel": "annuler",
        "file": "fichier",
        "password": "mot de passe",
        "save": "enregistrer",
        "today": "aujourd'hui",
    }


def test_long_sentences_and_rare_words_are_not_counted() -> None:
    long = ("one two three four five six seven eight nine ten", "un deux")
    assert lexicon([long] * 5) == []
    assert lexicon([("Horologium", "Horloge")]) == []


def test_common_words_do_not_end_a_translation() -> None:
    extensions = [(), ("de",), ("de", "passe")]
    counts = Counter(extensions * 3)
    assert common_beginning(counts, {"de"}) == ("de", "passe")
    assert common_beginning(counts, {"de", "passe"}) == ()
    assert common_beginning(Counter([*extensions, (), ()]), {"de"}) == ()  # one sentence of three goes on so


def test_frequent_words_are_repeated() -> None:
    assert [Entry("a", "b", count).repetitions for count in (2, 20, 2000)] == [1, 3, 7]


def test_a_mixture_can_have_a_lexicon() -> None:
    pairs = [SentencePair(source, target, (target,), "ui") for source, target in PAIRS]
    mixed = MixedPairs(pairs, Mixture(pairs=10, shares={"ui": 1, LEXICON: 1}), seed=1, held_out={"cancel"})
    found = {(pair.source, pair.target) for pair in mixed.kinds[LEXICON]}
    assert {("Password", "Mot de passe"), ("file", "fichier")} <= found
    assert not any(source.lower() == "cancel" for source, _ in found)  # held-out rows are no training pairs
    assert len(mixed.epoch(0)) == 10
