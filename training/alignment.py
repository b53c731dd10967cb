"""Alignment error rate of a translator's attention against manual alignments.

`alignments/<source>-<target>.tsv` has a sentence, its translation, and for each word of the translation the aligned
source words: `veste=jacket`, `partir=leave+to?` (`?`: possible, not sure), `de=` (none), `une=a#2` (the second `a`).
"""

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.bundle.manifest import AttentionOutput, TranslationManifest
from training.corpora import CORPORA, data_folder, is_present
from training.corpora.download import unpack
from training.graphs.parity import decode_in_steps, open_graphs

ALIGNMENTS = Path(__file__).parent / "alignments"
WORD = re.compile(r"\w+(?:['-]\w+)*|[^\w\s]")

Links = set[tuple[int, int]]
"""(source word, target word)"""
Spans = list[tuple[int, int]]
"""Start and end of each word in its sentence."""


@dataclass(frozen=True)
class AlignedPair:
    """A sentence and its translation with manual alignment links."""

    source: str
    target: str
    source_words: Spans
    target_words: Spans
    sure: Links
    possible: Links
    """All links, the sure ones included."""


def read_alignments(path: Path) -> list[AlignedPair]:
    """Read a file of alignments. Raises ValueError with the line and the word that is not in its sentence."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        source, target, links = line.split("\t")
        source_words = [match.span() for match in WORD.finditer(source)]
        target_words: Spans = []
        sure: Links = set()
        possible: Links = set()
        for link in links.split(" "):
            word, _, origins = link.rpartition("=")
            start = target.find(word, target_words[-1][1] if target_words else 0)
            if start < 0:
                raise ValueError(f"{path}, line {number}: {word!r} is not in the translation")
            target_words.append((start, start + len(word)))
            for origin in filter(None, origins.split("+")):
                name, _, nth = (origin if origin == "?" else origin.removesuffix("?")).partition("#")
                places = [i for i, (a, b) in enumerate(source_words) if source[a:b] == name]
                if len(places) < int(nth or 1):
                    raise ValueError(f"{path}, line {number}: {origin!r} is not in the source")
                found = (places[int(nth or 1) - 1], len(target_words) - 1)
                possible.add(found)
                if origin == "?" or not origin.endswith("?"):
                    sure.add(found)
        pairs.append(AlignedPair(source, target, source_words, target_words, sure, possible))
    return pairs


def read_numbered(text: str) -> list[AlignedPair]:
    """Read the lines of the Hansards: two tokenised sentences and links by number, `i-j` (sure) or `i?j` (possible).

    The first line is a header. Raises ValueError for a link to a word that is not there.
    """
    pairs = []
    for line in text.splitlines()[1:]:
        source, target, links = line.split("\t")
        sure: Links = set()
        possible: Links = set()
        for link in links.split():
            i, j = map(int, re.split("[-?]", link))
            possible.add((i, j))
            if "?" not in link:
                sure.add((i, j))
        source_words, target_words = ([m.span() for m in re.finditer(r"\S+", one)] for one in (source, target))
        if any(i >= len(source_words) or j >= len(target_words) for i, j in possible):
            raise ValueError(f"a link of {links!r} is outside of its sentences")
        pairs.append(AlignedPair(source, target, source_words, target_words, sure, possible))
    return pairs


def membership(offsets: list[tuple[int, int]], words: Spans) -> NDArray[np.float64]:
    """Matrix [words, tokens]: 1 where a token overlaps a word, else 0."""
    return np.array([[float(start < b and end > a) for start, end in offsets] for a, b in words])


def word_weights(
    weights: NDArray[np.floating], source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of tokens [(heads,) T, S] -> weights of words: the sum over source tokens, the mean over target tokens.

    source [source words, S] and target [target words, T] are the membership matrices.
    """
    merged: NDArray[np.float64] = (target @ weights @ source.T) / target.sum(1, keepdims=True).clip(min=1)
    return merged


@dataclass(frozen=True)
class AlignmentScores:
    """Scores of links against manual alignments (Och and Ney 2003, section 5.2)."""

    error_rate: float
    precision: float
    """Share of the links that are possible."""
    recall: float
    """Share of the sure links that are found."""


def score(links: list[Links], pairs: list[AlignedPair]) -> AlignmentScores:
    """Scores of the links of each pair."""
    found = sum(map(len, links))
    possible = sum(len(a & pair.possible) for a, pair in zip(links, pairs, strict=True))
    sure = sum(len(a & pair.sure) for a, pair in zip(links, pairs, strict=True))
    recall = sure / max(1, sum(len(pair.sure) for pair in pairs))
    return AlignmentScores(error_rate(links, pairs), possible / max(1, found), recall)


def error_rate(links: list[Links], pairs: list[AlignedPair]) -> float:
    """Alignment error rate 1 - (|A & S| + |A & P|) / (|A| + |S|) (Och and Ney 2003, eq. 35). 0 is the best value."""
    hit = sum(len(a & pair.sure) + len(a & pair.possible) for a, pair in zip(links, pairs, strict=True))
    return 1 - hit / sum(len(a) + len(pair.sure) for a, pair in zip(links, pairs, strict=True))


def forced_attention(
    folder: Path, manifest: TranslationManifest, pairs: list[AlignedPair]
) -> Iterator[dict[str, NDArray[np.floating]]]:
    """Yield the cross-attention of a bundle for each pair, under teacher forcing.

    Output name -> weights of words [(heads,) target words, source words].
    """
    source_tokenizer = Tokenizer.from_file(str(folder / manifest.tokenizers["source"]))
    target_tokenizer = Tokenizer.from_file(str(folder / manifest.tokenizers["target"]))
    run = open_graphs(folder, manifest.graphs)
    outputs = [output for output in manifest.attention if output.kind == "cross"]
    for pair in pairs:
        source = source_tokenizer.encode(pair.source)
        target = target_tokenizer.encode(pair.target, add_special_tokens=False)
        source_of = membership(source.offsets, pair.source_words)
        target_of = membership(target.offsets, pair.target_words)
        encoded = run["encode"]({"source_ids": np.array([source.ids]), "source_lengths": np.array([len(source.ids)])})
        forced = np.array([[manifest.special_ids.bos, *target.ids[:-1]]])
        steps = list(decode_in_steps(run, manifest.graph("step"), encoded, forced))
        found: dict[str, NDArray[np.floating]] = {}
        for output in outputs:
            weights = np.concatenate([step[output.output][0] for step in steps], axis=-2)
            found[output.output] = word_weights(weights, source_of, target_of)
        yield found


def linked(weights: NDArray[np.floating]) -> Links:
    """Link each target word to the source word of its highest weight; weights [target words, source words]."""
    return {(int(source), target) for target, source in enumerate(weights.argmax(1))}


def attention_name(output: AttentionOutput) -> str:
    """Name of a cross-attention output in metrics."""
    return "cross" if output.layer is None else f"layer {output.layer}"


def error_rates(folder: Path, manifest: TranslationManifest, pairs: list[AlignedPair]) -> dict[str, float]:
    """Error rates of all cross-attention of a bundle, by name: `layer 1`, `layer 1, head 0`, or `cross`."""
    return {name: found.error_rate for name, found in alignment_scores(folder, manifest, pairs).items()}


def alignment_scores(
    folder: Path, manifest: TranslationManifest, pairs: list[AlignedPair]
) -> dict[str, AlignmentScores]:
    """Scores of all cross-attention of a bundle, by name, as in `error_rates`."""
    links: dict[str, list[Links]] = {}
    for found in forced_attention(folder, manifest, pairs):
        for output in manifest.attention:
            if output.output not in found:
                continue
            weights, name = found[output.output], attention_name(output)
            links.setdefault(name, []).append(linked(weights.mean(0) if output.heads else weights))
            for head in range(output.heads or 0):
                links.setdefault(f"{name}, head {head}", []).append(linked(weights[head]))
    return {name: score(found, pairs) for name, found in links.items()}


def report(folder: Path, manifest: TranslationManifest) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each file of manual alignments for the languages of a bundle, with a row per layer and head: name, error
    rate, precision, recall. `*` marks the summary. The Hansards are among the files if they are in the data folder.

    Raises CorpusError.
    """
    summaries = {attention_name(output) for output in manifest.attention if output.summary}
    files = {
        path.name: read_alignments(path)
        for path in sorted(ALIGNMENTS.glob(f"{manifest.source}-{manifest.target}*.tsv"))
    }
    corpus = CORPORA["alignment-en-fr"]
    if (manifest.source, manifest.target) == ("en", "fr") and is_present(corpus):
        [file] = corpus.files["test"]
        files[file.name] = read_numbered(unpack(data_folder() / corpus.folder / file.name, file.sha256))
    for name, pairs in files.items():
        yield name, [_row(*scored, summaries) for scored in alignment_scores(folder, manifest, pairs).items()]


def _row(name: str, scores: AlignmentScores, summaries: set[str]) -> list[str]:
    return [f"{name}{' *' if name in summaries else ''}", *(f"{value:.3f}" for value in astuple(scores))]
