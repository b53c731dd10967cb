"""Lexical shortlists: the likely target tokens of each source token, learned from the training pairs.

Word translation probabilities are those of IBM Model 1 (Brown et al. 1993, "The Mathematics of Statistical Machine
Translation", section 4.1), over the tokens of the bundle's tokenizers.

Legend: V source vocabulary, W target vocabulary.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from service.bundle.conventions import max_target_length
from service.bundle.files import read_manifest, sha256_of, write_bundle, write_manifest
from service.bundle.golden import TranslationGolden, read_golden, write_golden
from service.bundle.manifest import GOLDEN, MANIFEST, SHORTLIST_FILE, Graph, TranslationManifest
from service.bundle.shortlist import TENSORS, Shortlist
from training.corpora.augmentation import Augmenter
from training.corpora.mixing import mixed_pairs
from training.graphs.parity import decode_in_steps, open_graphs
from training.graphs.shortlist import restrict
from training.recipe import TranslationRecipe
from training.tasks.translation import read_pairs

PAIRS = 300_000
"""Maximum number of training pairs."""
ITERATIONS = 4
"""Iterations of expectation maximisation."""
TARGETS = 50
"""Maximum number of target tokens of a source token."""
MIN_PROBABILITY = 1e-3
"""Minimum translation probability of the target tokens of a source token."""
COMMON = 500
"""Number of frequent target tokens that are in every shortlist."""

TextPairs = Sequence[tuple[str, str]]
IdPairs = Sequence[tuple[list[int], list[int]]]
"""Source ids with </s>, target ids with </s>."""


class ShortlistError(RuntimeError):
    """The bundle cannot have a shortlist."""


def translation_probabilities(pairs: IdPairs, source_size: int, target_size: int) -> NDArray[np.float32]:
    """Return the probability [V, W] of each target token given a source token.

    The </s> of the source generates the target tokens that no other token explains.
    """
    sides = [(np.unique(source), *np.unique(target, return_counts=True)) for source, target in pairs]
    probabilities = np.full((source_size, target_size), 1 / target_size, np.float32)
    for _ in range(ITERATIONS):
        counts = np.zeros_like(probabilities)
        for source_ids, target_ids, times in sides:
            cells = np.ix_(source_ids, target_ids)
            own = probabilities[cells]
            counts[cells] += own * (times / own.sum(axis=0))
        probabilities = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    return probabilities


def make_shortlist(pairs: IdPairs, source_size: int, target_size: int, shared: bool) -> Shortlist:
    """Return the lists of all source tokens. With a `shared` vocabulary, each token is in its own list."""
    lists = []
    for source_id, row in enumerate(translation_probabilities(pairs, source_size, target_size)):
        best = np.argsort(-row, kind="stable")[:TARGETS]
        lists.append(np.union1d(best[row[best] >= MIN_PROBABILITY], [source_id] if shared else []))
    frequencies = Counter(token for _, target in pairs for token in target)
    common = sorted(token for token, _ in frequencies.most_common(COMMON))
    offsets = np.cumsum([0, *map(len, lists)])
    return Shortlist(offsets, np.concatenate(lists).astype(np.int64), np.array(common, np.int64))


def write_shortlist(shortlist: Shortlist, path: Path) -> None:
    """Write `shortlist.safetensors`."""
    save_file({name: getattr(shortlist, name).astype(np.int32) for name in TENSORS}, path)
    path.chmod(0o644)  # safetensors creates files that only the owner can read


def training_pairs(recipe: TranslationRecipe) -> TextPairs:
    """Return up to PAIRS training pairs of a recipe, augmented as in training. Raises CorpusError."""
    data, generator = recipe.data, random.Random(recipe.seed)
    held_out: set[str] = set()
    if data.mixture is not None:
        mixed = mixed_pairs(data, recipe.seed)
        held_out = mixed.held_out
        rows = [row for epoch in range(-(-PAIRS // data.mixture.pairs)) for row in mixed.epoch(epoch)]
    else:
        rows = read_pairs(recipe, "train", list(dict.fromkeys(data.corpora)))
    rows = generator.sample(rows, min(PAIRS, len(rows)))
    if data.augmentation is not None:
        return Augmenter(data.augmentation, generator, held_out).augment(rows)
    return [(row.source, row.target) for row in rows]


def add_shortlist(folder: Path, pairs: TextPairs, check: Callable[[Path], None]) -> TranslationManifest:
    """Restrict the int8 step graph of a bundle to shortlists that are learned from sentence pairs.

    check: called with the folder of the new bundle before it replaces the old one; raises if an answer is wrong.

    Raises ShortlistError if the bundle has no int8 graphs or has a shortlist.
    """
    manifest = read_manifest(folder, TranslationManifest)
    step = next((graph for graph in manifest.graphs if (graph.role, graph.precision) == ("step", "int8")), None)
    if step is None or any(graph.role == "shortlist" for graph in manifest.graphs):
        raise ShortlistError(f"{folder} needs int8 graphs without a shortlist")
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".shortlist-"))
    try:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        shortlist = learn(folder, manifest, pairs)
        write_shortlist(shortlist, staged / SHORTLIST_FILE)
        write_golden(staged, with_scores(folder, manifest, shortlist))
        graphs = write_graphs(staged, step)
        names = [*(graph.file for graph in graphs), SHORTLIST_FILE, GOLDEN]
        changes = {
            "graphs": [*(graph for graph in manifest.graphs if graph != step), *graphs],
            "files": manifest.files | {name: sha256_of(staged / name) for name in names},
        }
        changed = TranslationManifest.model_validate(manifest.model_dump() | changes)
        write_manifest(staged / MANIFEST, changed)
        check(staged)
        write_bundle(folder, staged, changed)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return changed


def learn(folder: Path, manifest: TranslationManifest, pairs: TextPairs) -> Shortlist:
    """Learn the shortlist of a bundle from sentence pairs."""
    files = [folder / manifest.tokenizers[role] for role in ("source", "target")]
    tokenizers = [Tokenizer.from_file(str(file)) for file in files]
    eos = manifest.special_ids.eos
    sides = [
        [[*encoding.ids, eos] for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        for tokenizer, texts in zip(tokenizers, zip(*pairs, strict=True), strict=True)
    ]
    source_size, target_size = (tokenizer.get_vocab_size() for tokenizer in tokenizers)
    return make_shortlist(list(zip(*sides, strict=True)), source_size, target_size, shared=files[0] == files[1])


def write_graphs(folder: Path, step: Graph) -> list[Graph]:
    """Replace the int8 step graph of a folder, and write the graph of its output layer. Returns their entries."""
    model = onnx.load(str(folder / step.file), load_external_data=False)
    *models, graphs = restrict(model, step)
    for changed, graph in zip(models, graphs, strict=True):
        onnx.save(changed, str(folder / graph.file))
    return graphs


def with_scores(folder: Path, manifest: TranslationManifest, shortlist: Shortlist) -> TranslationGolden:
    """Return the golden cases of a bundle with the scores that its float32 graphs give with the shortlist.

    Raises ShortlistError if the shortlist changes a translation.
    """
    golden = read_golden(folder, "translation")
    assert isinstance(golden, TranslationGolden)
    source, target = (Tokenizer.from_file(str(folder / manifest.tokenizers[role])) for role in ("source", "target"))
    cases = []
    for case in golden.cases:
        target_ids, score = restricted_greedy_search(folder, manifest, shortlist, source.encode(case.text).ids)
        if target.decode(target_ids) != case.answer.translation:
            raise ShortlistError(f"the shortlist changes the translation of {case.text!r}")
        cases.append(case.model_copy(update={"scores": {**case.scores, "int8": score}}))
    return golden.model_copy(update={"cases": cases})


def restricted_greedy_search(
    folder: Path, manifest: TranslationManifest, shortlist: Shortlist, source_ids: list[int]
) -> tuple[list[int], float]:
    """Translate with the float32 graphs and a shortlist. Returns the target ids and their mean log-probability."""
    ids = manifest.special_ids
    run = open_graphs(folder, manifest.graphs)
    encoded = run["encode"]({"source_ids": np.array([source_ids]), "source_lengths": np.array([len(source_ids)])})
    possible = shortlist.targets(source_ids, [ids.eos])
    allowed = np.array([token for token in possible if token not in (*ids.never, ids.unknown)])
    inputs = np.full((1, max_target_length(len(source_ids)) + 2), ids.bos)
    total, found = 0.0, list[int]()
    vocabulary = Tokenizer.from_file(str(folder / manifest.tokenizers["target"])).get_vocab_size()
    for outputs in decode_in_steps(run, manifest.graph("step"), encoded, inputs, vocabulary):
        log_probs = np.full(vocabulary, -np.inf)
        log_probs[outputs["top_ids"][0]] = outputs["top_log_probs"][0]
        best = int(allowed[log_probs[allowed].argmax()])
        total += float(log_probs[best] - np.logaddexp.reduce(log_probs[possible]))
        if best == ids.eos:
            return found, total / (len(found) + 1)
        found.append(best)
        inputs[0, len(found)] = best  # the input of the next step
    raise ShortlistError("the translation of a golden case has no end")
