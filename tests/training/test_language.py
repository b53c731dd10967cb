"""Language models: segments equal the whole text, and tokens see only the window before them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import WEIGHTS, GenerationManifest
from service.generation.generator import Generator, SamplingParams
from service.runtime import Runtime
from tests.conftest import REAL_MODELS
from tests.training.test_export import write_and_check
from training.graphs import language
from training.networks.language import (
    LanguageModel,
    RecurrentLanguageConfig,
    RecurrentLanguageModel,
    TransformerLanguageConfig,
    TransformerLanguageModel,
    distances,
)
from training.recipe import GenerationRecipe
from training.tasks import build_language_model

VOCABULARY, WINDOW = 17, 5
KINDS: list[dict[str, Any]] = [
    {"cell": "lstm", "layers": 2},
    {"cell": "gru"},
    {"cell": "rnn"},
    *({"cell": "lstm", "attention": score} for score in ("dot", "scaled_dot", "general", "additive")),
    {"cell": "gru", "attention": "general", "layers": 2},
    {"heads": 2, "layers": 3},
    {"heads": 3, "layers": 1, "norm": "post"},
]
every_kind = pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(map(str, options.values())))


def network(options: dict[str, Any]) -> LanguageModel:
    torch.manual_seed(0)
    if "heads" in options:
        config = TransformerLanguageConfig(network="decoder", size=12, feed_forward=7, window=WINDOW, **options)
        return TransformerLanguageModel(config, VOCABULARY).eval()
    recurrent = RecurrentLanguageConfig(network="recurrent", embedding=4, size=6, window=WINDOW, **options)
    return RecurrentLanguageModel(recurrent, VOCABULARY).eval()


def text(length: int, rows: int = 2) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


@every_kind
def test_segments_equal_the_whole_text(options: dict[str, Any]) -> None:
    model, ids = network(options), text(23)
    whole = model(ids, model.initial_state(2))
    state, states = model.initial_state(2), []
    for segment in ids.split([9, 1, 4, 9], 1):
        output = model(segment, state)
        state = output.state.detach()
        states.append(output.states)
    torch.testing.assert_close(torch.cat(states, 1), whole.states)


@every_kind
def test_no_token_sees_a_later_token(options: dict[str, Any]) -> None:
    model, ids = network(options), text(11)
    changed = ids.clone()
    changed[:, 6] = (ids[:, 6] + 1) % VOCABULARY
    before, after = (model(some, model.initial_state(2)) for some in (ids, changed))
    torch.testing.assert_close(before.states[:, :6], after.states[:, :6])
    assert not torch.allclose(before.states[:, 6:], after.states[:, 6:])


@every_kind
def test_weights_cover_the_window(options: dict[str, Any]) -> None:
    model = network(options)
    output = model(text(11), model.initial_state(2))
    assert len(output.weights) == (options["layers"] if "heads" in options else "attention" in options)
    distance = distances(11, 0)
    seen = (distance >= 0) & (distance < WINDOW)
    for weights in output.weights:
        assert (weights[..., ~seen] == 0).all() and (weights[..., seen] > 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_a_transformer_sees_one_window_per_layer() -> None:
    """Each layer extends the reach by four tokens."""
    model = network({"heads": 2, "layers": 3})
    ids = text(16)
    changed = ids.clone()
    changed[:, 0] = (ids[:, 0] + 1) % VOCABULARY
    before, after = (model(some, model.initial_state(2)).states for some in (ids, changed))
    reach = 3 * (WINDOW - 1)
    assert not torch.allclose(before[:, reach], after[:, reach])
    torch.testing.assert_close(before[:, reach + 1 :], after[:, reach + 1 :])


@every_kind
def test_the_graph_equals_pytorch(options: dict[str, Any], tmp_path: Path) -> None:
    model = network(options)
    described = language.describe(model, eos_id=3, summary_layer=0)
    write_and_check(model, described, tmp_path)
    assert [output.kind for output in described.attention] == ["decoder_self"] * (
        options["layers"] if "heads" in options else "attention" in options
    )
    assert sum(output.summary for output in described.attention) == bool(described.attention)


def language_models() -> list[Path]:
    folders = [folder for versions in find_bundles(REAL_MODELS).values() for folder in versions.values()]
    return [folder for folder in folders if read_manifest(folder).task == "generation"]


@torch.no_grad()
@pytest.mark.parametrize("folder", language_models(), ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_five_hundred_characters_equal_pytorch(folder: Path) -> None:
    """Greedy decoding, by a network built from the bundle's recipe and weights."""
    manifest = read_manifest(folder, GenerationManifest)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    recipe = GenerationRecipe.model_validate_json(json.dumps(manifest.training.recipe))
    model = build_language_model(recipe, tokenizer.get_vocab_size()).eval()
    model.load_state_dict({name: weights.float() for name, weights in load_file(folder / WEIGHTS).items()})
    prompt = "The philosopher of the future "
    output = model(torch.tensor([tokenizer.encode(prompt).ids]), model.initial_state(1))
    ids: list[int] = []
    while len(ids) < 500:
        scores = model.logits(output.states[0, -1])
        scores[manifest.special_ids.never] = -torch.inf
        ids.append(int(scores.argmax()))
        output = model(torch.tensor([ids[-1:]]), output.state)
    generator = Generator(read_bundle(folder, manifest), Runtime("cpu", threads=1), Limits())
    try:
        found = asyncio.run(generator.generate(prompt, SamplingParams(500, temperature=0, attention="none")))
    finally:
        generator.close()
    assert found.text == tokenizer.decode(ids)
