"""Manual alignments, and the alignment error rate of a translator's attention."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from tests.conftest import REAL_MODELS
from training.alignment import (
    ALIGNMENTS,
    WORD,
    AlignedPair,
    error_rate,
    error_rates,
    linked,
    membership,
    read_alignments,
    read_numbered,
    report,
    score,
    word_weights,
)
from training.corpora import CORPORA, File

HEADER = "en\tfr\tlinks\n"


def test_a_line_is_parsed_to_words_and_links(tmp_path: Path) -> None:
    sentences = "A man eats a cake. Why?\tUn homme mange du gâteau. Pourquoi ?"
    links = "Un=A homme=man mange=eats du=a? gâteau=a+cake .=. Pourquoi=Why ?=?"
    (tmp_path / "a.tsv").write_text(f"{HEADER}{sentences}\t{links}\n")
    [pair] = read_alignments(tmp_path / "a.tsv")
    assert [pair.source[a:b] for a, b in pair.source_words] == ["A", "man", "eats", "a", "cake", ".", "Why", "?"]
    assert [pair.target[a:b] for a, b in pair.target_words] == "Un homme mange du gâteau . Pourquoi ?".split()
    assert pair.sure == {(0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (5, 5), (6, 6), (7, 7)}
    assert pair.possible == pair.sure | {(3, 3)}


@pytest.mark.parametrize(
    ("links", "message"),
    [("Chien=cat", r"line 2: 'Chien' is not in the translation"), ("Chat=dog", r"line 2: 'dog' is not in the source")],
)
def test_an_error_names_its_line(tmp_path: Path, links: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(HEADER + f"cat\tChat\t{links}\n")
    with pytest.raises(ValueError, match=message):
        read_alignments(tmp_path / "a.tsv")


def test_token_weights_are_merged_to_word_weights() -> None:
    source = membership([(0, 2), (2, 4), (5, 6)], [(0, 4), (5, 6)])
    target = membership([(0, 1), (1, 3)], [(0, 3)])
    merged = word_weights(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]), source, target)
    np.testing.assert_allclose(merged, [[0.55, 0.45]])
    assert linked(merged) == {(0, 0)}


def test_the_error_rate_follows_och_and_ney(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(HEADER + "a b c\tx y z\tx=a y=b? z=c\n")
    pairs = read_alignments(tmp_path / "a.tsv")
    assert error_rate([{(0, 0), (1, 1), (2, 2)}], pairs) == 0  # a possible link is not an error
    assert error_rate([{(0, 0), (0, 1), (2, 2)}], pairs) == pytest.approx(1 - 4 / 5)
    assert error_rate([{(2, 0), (0, 1), (1, 2)}], pairs) == 1


def test_the_summary_layer_has_the_lowest_error_rate() -> None:
    folder = max((REAL_MODELS / "en-fr").iterdir())
    manifest = read_manifest(folder, TranslationManifest)
    pairs = read_alignments(ALIGNMENTS / "en-fr.tsv")
    rates = error_rates(folder, manifest, pairs)
    shown = next(output for output in manifest.attention if output.summary)
    assert min(rates, key=lambda name: rates[name]) == f"layer {shown.layer}"
    errors = [metric for metric in manifest.metrics if metric.name == "alignment error rate"]
    [recorded] = [metric for metric in errors if "software" not in metric.data]
    assert rates[f"layer {shown.layer}"] == pytest.approx(recorded.value, abs=0.005)


@pytest.mark.parametrize("path", sorted(ALIGNMENTS.glob("*.tsv")), ids=lambda path: path.stem)
def test_manual_alignments_cover_every_word_of_the_translations(path: Path) -> None:
    pairs = read_alignments(path)
    assert len(pairs) >= 50
    for pair in pairs:
        starts = {start for start, _ in pair.target_words}
        assert {match.start() for match in WORD.finditer(pair.target)} <= starts, pair.target
        assert len({target for _, target in pair.sure}) >= len(pair.target_words) / 2, pair.target


def test_precision_and_recall() -> None:
    words = [(0, 1), (2, 3), (4, 5)]
    pair = AlignedPair("a b c", "x y z", words, words, {(0, 0), (1, 1)}, {(0, 0), (1, 1), (2, 1)})
    found = score([{(0, 0), (2, 1), (2, 2)}], [pair])
    assert found.precision == pytest.approx(2 / 3) and found.recall == pytest.approx(1 / 2)
    assert found.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))


def test_links_by_number() -> None:
    [pair] = read_numbered("en\tfr\tlinks\n2 o'clock .\t2 heures .\t0-0 1?1 2-2\n")
    assert [pair.source[a:b] for a, b in pair.source_words] == ["2", "o'clock", "."]
    assert [pair.target[a:b] for a, b in pair.target_words] == ["2", "heures", "."]
    assert (pair.sure, pair.possible) == ({(0, 0), (2, 2)}, {(0, 0), (1, 1), (2, 2)})
    with pytest.raises(ValueError, match="outside"):
        read_numbered("en\tfr\tlinks\na b\tx\t0-1\n")


def test_the_hansards_of_the_data_folder_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, text = (
        max((REAL_MODELS / "en-fr").iterdir()),
        "en\tfr\tlinks\nThe dog sleeps .\tLe chien dort .\t0-0 1-1 2-2 3-3\n",
    )
    manifest = read_manifest(folder, TranslationManifest)
    monkeypatch.setattr("training.alignment.ALIGNMENTS", tmp_path)
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path))
    assert list(report(folder, manifest)) == []
    corpus = CORPORA["alignment-en-fr"]
    hansards = [File("hansards.tsv.gz", hashlib.sha256(text.encode()).hexdigest())]
    monkeypatch.setitem(CORPORA, "alignment-en-fr", replace(corpus, files={"test": hansards}))
    (tmp_path / corpus.folder).mkdir(parents=True)
    (tmp_path / corpus.folder / "hansards.tsv.gz").write_bytes(gzip.compress(text.encode()))
    [(name, rows)] = report(folder, manifest)
    assert name == "hansards.tsv.gz"
    assert [row[1:] for row in rows if row[0].endswith("*")] == [["0.000", "1.000", "1.000"]]
