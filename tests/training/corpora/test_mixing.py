"""Mixtures: shares, even draws, epochs that a resumed run sees again, and no held-out pair."""

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from training.corpora import CorpusError, SentencePair
from training.corpora.mixing import MixedPairs, held_out_keys, key, mixed_pairs
from training.recipe import Mixture, TranslationData


def pairs(domain: str, count: int, words: int = 5) -> list[SentencePair]:
    sources = [" ".join([f"{domain}{n}", *["word"] * (words - 1)]) for n in range(count)]
    return [SentencePair(source, source.upper(), (source.upper(),), domain) for source in sources]


MIXTURE = Mixture(pairs=60, shares={"ui": 2, "docs": 1})


def test_an_epoch_has_the_shares_asked_for() -> None:
    mixed = MixedPairs([*pairs("ui", 100), *pairs("docs", 7), *pairs("legal", 50)], MIXTURE, seed=1)
    for number in range(5):
        assert Counter(pair.domain for pair in mixed.epoch(number)) == {"ui": 40, "docs": 20}


def test_pairs_of_a_kind_are_drawn_equally_often() -> None:
    mixed = MixedPairs([*pairs("ui", 100), *pairs("docs", 7)], MIXTURE, seed=1)
    seen = Counter(pair.source for number in range(7) for pair in mixed.epoch(number))
    counts = {domain: [n for source, n in seen.items() if source.startswith(domain)] for domain in ("ui", "docs")}
    assert len(counts["ui"]) == 100 and set(counts["ui"]) <= {2, 3}
    assert len(counts["docs"]) == 7 and set(counts["docs"]) == {20}


def test_an_epoch_is_the_same_in_a_resumed_run_and_another_with_another_seed() -> None:
    rows = [*pairs("ui", 100), *pairs("docs", 30)]
    mixed = MixedPairs(rows, MIXTURE, seed=1)
    before = [mixed.epoch(number) for number in range(4)]
    assert MixedPairs(rows, MIXTURE, seed=1).epoch(3) == before[3]
    assert before[0] != before[1]
    assert MixedPairs(rows, MIXTURE, seed=2).epoch(3) != before[3]


def test_short_sources_are_kinds_of_their_own() -> None:
    mixture = Mixture(pairs=30, shares={"word": 1, "short": 1, "ui": 1}, lengths={"short": 3, "word": 1})
    mixed = MixedPairs([*pairs("ui", 9, words=1), *pairs("docs", 9, words=3), *pairs("ui", 9, words=4)], mixture, 1)
    assert {kind: len(found) for kind, found in mixed.kinds.items()} == {"word": 9, "short": 9, "ui": 9}


def test_a_share_without_a_pair_is_told() -> None:
    with pytest.raises(CorpusError, match="share for docs, but there is no such pair"):
        MixedPairs(pairs("ui", 5), MIXTURE, seed=1)
    with pytest.raises(ValidationError, match="share of ui is not above 0"):
        Mixture(pairs=5, shares={"ui": 0})


def test_a_held_out_source_is_in_no_epoch_whatever_its_case_and_signs() -> None:
    rows = [SentencePair(f"Save, {n}!", "x", ("x",), "ui") for n in range(10)]
    mixed = MixedPairs(rows, Mixture(pairs=100, shares={"ui": 1}), 1, held_out={key("save 3"), key("SAVE 4…")})
    assert mixed.leaked == 2
    assert {pair.source for pair in mixed.epoch(0)} == {f"Save, {n}!" for n in range(10) if n not in (3, 4)}


def test_the_held_out_rows_of_one_corpus_are_not_trained_on_in_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first.tsv", tmp_path / "second.tsv"
    first.write_text("".join(f"sentence number {n}\tphrase {n}\n" for n in range(400)))
    second.write_text("".join(f"Sentence, number {n}.\tPhrase {n}.\n" for n in range(400)))
    mixture = Mixture(pairs=100, shares={str(first): 1, str(second): 1})
    data = TranslationData(corpora=[str(first), str(second)], source="en", target="fr", mixture=mixture)
    mixed, held_out = mixed_pairs(data, seed=1), held_out_keys(data)
    assert len(held_out) > 100 and mixed.leaked > 0
    drawn = {key(pair.source) for number in range(10) for pair in mixed.epoch(number)}
    assert len(drawn) > 100 and drawn.isdisjoint(held_out)


def test_a_key_ignores_case_width_and_signs() -> None:
    assert key("Ｓａｖｅ as…") == key("save  AS") == "save as"
    assert key(" ?! ") == "?!"
