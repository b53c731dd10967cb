"""Initial weights: files in GloVe's format, word2vec, another bundle."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from service.bundle.manifest import WEIGHTS
from training.networks.transformer import Transformer, TransformerConfig
from training.recipe import ClassificationRecipe, RecipeError, TokenizerRecipe, VectorsRecipe, load_recipe
from training.start import (
    StartError,
    copy_matching_weights,
    copy_weights,
    initial_vectors,
    parts_of,
    read_vectors,
    set_vectors,
    stored_bundle,
    train_vectors,
)
from training.tasks import ClassificationTask
from training.tokenization import train_tokenizer

GLOVE = "the 0.1 -0.2 0.3\n. 1 2 3\nsan francisco 9 9\ncat -1e-2 0 1.5\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_glove_vectors_are_read_for_the_given_words(tmp_path: Path) -> None:
    text = GLOVE.replace("san francisco 9 9\n", "dog 7 7 7\n")
    for content in (text, "3 3\n" + text):
        vectors = read_vectors(written(tmp_path / "glove.txt", content), ["the", "cat", "unicorn"])
        assert set(vectors) == {"the", "cat"}
        np.testing.assert_allclose(vectors["cat"], [-0.01, 0, 1.5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 0.1 0.2\ncat 0.1\n", r"line 2: 1 numbers, but earlier lines have 2"),
        ("the 0.1 0.2\ncat 0.1 x\n", r"line 2: not a number"),
        ("dog 0.1 0.2\n", "has none of the 2 words"),
    ],
)
def test_a_bad_vector_file_is_one_message(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        read_vectors(written(tmp_path / "glove.txt", content), ["the", "cat"])


def test_a_missing_vector_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nope\.txt: No such file"):
        read_vectors(tmp_path / "nope.txt", ["the"])


def test_vectors_are_assigned_to_word_tokens(tmp_path: Path) -> None:
    recipe = load_recipe("imdb-glove")
    assert isinstance(recipe, ClassificationRecipe)
    tokenizer = train_tokenizer(["The cat sat.", "the cat ran."], recipe.tokenizer)
    glove = written(tmp_path / "glove.txt", GLOVE.replace("san francisco 9 9\n", ""))
    vectors = initial_vectors(recipe, VectorsRecipe(file=str(glove)), tokenizer)
    assert set(vectors) == {tokenizer.token_to_id(token) for token in ("\u2581the", "\u2581cat", ".")}
    embedding = torch.nn.Embedding(tokenizer.get_vocab_size(), 3)
    set_vectors(embedding, vectors)
    torch.testing.assert_close(embedding.weight[tokenizer.token_to_id("\u2581cat")], torch.tensor([-0.01, 0, 1.5]))
    task = ClassificationTask(recipe, ["a", "b"], tokenizer)
    assert not task.network.embedding.weight.requires_grad
    with pytest.raises(StartError, match="3 numbers, but the recipe's embedding has 5"):
        set_vectors(torch.nn.Embedding(9, 5), vectors)


def test_word2vec_gives_similar_vectors_to_words_in_similar_contexts() -> None:
    generator = np.random.default_rng(0)
    animals, colours = ["cat", "dog", "cow"], ["red", "blue", "green"]
    sentences = [list(generator.choice(group, 6)) for _ in range(400) for group in (animals, colours)]
    vectors = train_vectors(sentences, size=11, seed=1)

    def similarity(a: str, b: str) -> float:
        x, y = vectors[a], vectors[b]
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    assert similarity("cat", "dog") > similarity("cat", "red")


def test_copy_weights_copies_weights_or_names_the_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    (tmp_path / "model" / "2").mkdir(parents=True)
    (tmp_path / "model" / "10").mkdir()
    bundle, stored = stored_bundle("model"), torch.nn.Linear(3, 2)
    assert bundle.name == "10"
    save_file({name: p.detach().half() for name, p in stored.named_parameters()}, bundle / WEIGHTS)
    network = torch.nn.Linear(3, 2)
    copy_weights(network, bundle)
    torch.testing.assert_close(network.weight, stored.weight.half().float())
    with pytest.raises(StartError, match="differ in weight"):
        copy_weights(torch.nn.Linear(4, 2), bundle)
    with pytest.raises(StartError, match="has no bundle"):
        stored_bundle("nope")


def small_translator(texts: list[str], size: int = 8) -> tuple[Transformer, Tokenizer]:
    tokenizer = train_tokenizer(texts, load_recipe("en-fr").tokenizer)
    config = TransformerConfig(network="transformer", size=size, heads=2, encoder_layers=1, decoder_layers=1)
    return Transformer(config, tokenizer.get_vocab_size(), pad_id=0), tokenizer


def test_a_translator_copies_matching_weights_and_shared_tokens(tmp_path: Path) -> None:
    theirs, their_tokenizer = small_translator(["the cat", "le chat"])
    their_tokenizer.save(str(tmp_path / "tokenizer.json"))
    save_file({name: p.detach().half() for name, p in theirs.named_parameters()}, tmp_path / WEIGHTS)
    ours, our_tokenizer = small_translator(["the cats sleep", "die Katze"])
    first = ours.embedding.weight.detach().clone()
    copy_matching_weights(ours, our_tokenizer, tmp_path)
    name = "encoder_layers.0.feed_forward.inner.weight"
    torch.testing.assert_close(ours.get_parameter(name), theirs.get_parameter(name).half().float())
    shared = our_tokenizer.get_vocab().keys() & their_tokenizer.get_vocab().keys()
    assert "a" in shared and "K" not in shared
    for token, row in our_tokenizer.get_vocab().items():
        if ids := parts_of(token, their_tokenizer):
            expected = theirs.embedding.weight[ids].half().float().mean(dim=0)
        else:
            expected = first[row]
        torch.testing.assert_close(ours.embedding.weight[row], expected)
    with pytest.raises(StartError, match="embeddings of 8, not 16"):
        copy_matching_weights(small_translator(["a"], size=16)[0], our_tokenizer, tmp_path)


def test_a_new_token_begins_as_its_parts() -> None:
    known = train_tokenizer(["the cat", "le chat"], TokenizerRecipe(vocabulary=101))
    vocabulary = known.get_vocab()
    assert parts_of("a", known) == [vocabulary["a"]]
    assert parts_of("tal", known) == [vocabulary[letter] for letter in "tal"]
    assert parts_of("tK", known) == parts_of("<0x41>", known) == []


def test_a_recipe_extends_its_base(tmp_path: Path) -> None:
    path = written(tmp_path / "my.toml", 'base = "sms-spam"\nname = "mine"\n[network]\ncell = "gru"\n')
    base, mine = load_recipe("sms-spam"), load_recipe(str(path))
    assert isinstance(base, ClassificationRecipe) and isinstance(mine, ClassificationRecipe)
    assert mine.name == "mine"
    assert mine.network == base.network.model_copy(update={"cell": "gru"})
    assert mine.optimisation == base.optimisation
    with pytest.raises(RecipeError, match="no recipe 'nope'"):
        load_recipe(str(written(tmp_path / "other.toml", 'base = "nope"\n')))
