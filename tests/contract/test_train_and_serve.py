"""Training writes bundles that the service reads, for every task, from a user's own file."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from service.batching.scheduler import Limits
from service.bundle.bundle import verify
from service.bundle.manifest import WEIGHTS, TranslationManifest
from service.generation.generator import SamplingParams
from service.registry.registry import Registry
from service.runtime import Runtime
from tests.training.alignments import few_alignments
from training.__main__ import app, main
from training.export.bundle import export
from training.fit import fit
from training.graphs import surgery, trace
from training.graphs.parity import ParityError
from training.opening import Changes, open_recipe
from training.recipe import RECIPES, AnyRecipe
from training.run import RunError, load_best, open_task, run_folder

WORDS = ["red", "blue", "dog", "cat", "runs", "sleeps", "here", "there"]
MOTS = ["rouge", "bleu", "chien", "chat", "court", "dort", "ici", "l\u00e0"]

SHRINK = {
    "sms-spam": {
        "vocabulary = 4000": "vocabulary = 150",
        "embedding = 96": "embedding = 11",
        "hidden = 64": "hidden = 7",
        "epochs = 12": "epochs = 3",
        "warmup_steps = 50": "warmup_steps = 2",
        "learning_rate = 0.002": "learning_rate = 0.02",
    },
    "nietzsche": {
        "embedding = 128": "embedding = 4",
        "size = 512": 'size = 12\nattention = "general"\nwindow = 9',
        "epochs = 25": "epochs = 4",
        "learning_rate = 0.002": "learning_rate = 0.02",
        "warmup_steps = 100": "warmup_steps = 2",
        "batch_tokens = 4096": "batch_tokens = 128",
        "stretch = 128": "stretch = 16",
        'precision = "auto"': 'precision = "float32"',
        "max_tokens = 10000": "max_tokens = 300",
    },
    "en-fr": {
        "vocabulary = 8000": "vocabulary = 150",
        "size = 256": "size = 12",
        "heads = 4": "heads = 3",
        "feed_forward = 1024": "feed_forward = 17",
        "epochs = 9": "epochs = 2",
        "warmup_steps = 1000": "warmup_steps = 2",
        'precision = "auto"': 'precision = "float32"',
        'target = "fr"': 'target = "fr"\nhidden = 0.3',
    },
}


def texts(name: str) -> list[str]:
    if name == "nietzsche":
        return ["The cat sat here. The dog sleeps there."] * 50
    pairs = [(a, b, c) for a in range(8) for b in range(8) for c in range(8) if len({a, b, c}) == 3]
    if name == "en-fr":
        return ["\t".join(" ".join(side[i] for i in triple) for side in (WORDS, MOTS)) for triple in pairs[:150]]
    return [f"{'animal' if {2, 3} & set(t) else 'none'}\t{' '.join(WORDS[i] for i in t)}" for t in pairs[:150]]


def recipe_for(folder: Path) -> AnyRecipe:
    return open_recipe(str(folder / "my.toml"), Changes(folder / "my.data"))


@pytest.fixture(scope="module", params=sorted(SHRINK))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A small network of the recipe, trained on a file. Returns the recipe's name and the folder of all files."""
    folder = tmp_path_factory.mktemp(request.param)
    text = (RECIPES / f"{request.param}.toml").read_text()
    for old, new in SHRINK[request.param].items():
        assert old in text
        text = text.replace(old, new)
    (folder / "my.toml").write_text(text)
    (folder / "my.data").write_text("\n".join(texts(request.param)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMELIGHT_RUNS", str(folder / "runs"))
        patch.setattr("training.evaluate.ALIGNMENTS", few_alignments(folder))
        fit(recipe_for(folder))
        yield request.param, folder


def test_the_command_line_makes_a_served_bundle(trained: tuple[str, Path]) -> None:
    name, folder = trained
    arguments = [str(folder / "my.toml"), "--data", str(folder / "my.data"), "--models", str(folder / "models")]
    for command in ("export", "evaluate"):
        result = CliRunner().invoke(app, [command, *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    registry = Registry(folder / "models", Runtime("cpu", 1), Limits())
    registry.load()
    entry = registry.entry("my")
    assert entry.ready, entry.problem
    assert entry.manifest is not None
    verify(entry.folder, entry.manifest)
    card = (entry.folder / "README.md").read_text()
    assert all(metric.name in card for metric in entry.manifest.metrics)
    assert str(folder) not in card  # the path of the file is private
    own = {"sms-spam": ("confusion.png", "calibration.png"), "en-fr": ("lengths.png",)}.get(name, ())
    for picture in ("attention-1.png", "learning.png", *own):
        assert picture in card
        assert (entry.folder / picture).read_bytes().startswith(b"\x89PNG")
    if name == "sms-spam":
        [prediction] = asyncio.run(registry.classifier("my").classify(["red dog sleeps"]))
        assert set(prediction.scores) == {"animal", "none"}
    elif name == "nietzsche":
        manner = SamplingParams(20, seed=3)
        found = asyncio.run(registry.generator("my").generate("The cat", manner))
        assert len(found.tokens) == 20 and found.attention
    else:
        assert isinstance(entry.manifest, TranslationManifest) and entry.manifest.special_ids.unknown is not None
        [translation] = asyncio.run(registry.translator("en", "fr").translate(["red dog"]))
        assert translation.sentences[0].source_tokens[0].text == "red"[: translation.sentences[0].source_tokens[0].end]
    registry.close()


def test_weights_can_be_read_back_by_name(trained: tuple[str, Path]) -> None:
    name, folder = trained
    recipe = recipe_for(folder)
    weights = load_file(export(recipe, folder / "again") / WEIGHTS)
    for key, parameter in load_best(recipe).network.named_parameters():
        torch.testing.assert_close(weights[key], parameter.detach().half())


def test_a_graph_that_differs_is_not_written(trained: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = trained
    honest = surgery.write_weights

    def careless(network: torch.nn.Module, path: Path) -> dict[str, tuple[int, int]]:
        offsets = honest(network, path)
        content = bytearray(path.read_bytes())
        content[max(start + length for start, length in offsets.values()) - 1] ^= 0x40
        path.write_bytes(content)
        return offsets

    monkeypatch.setattr(trace, "write_weights", careless)
    with pytest.raises(ParityError, match="differs from PyTorch"):
        export(recipe_for(folder), folder / "never")
    assert list((folder / "never").rglob("*.*")) == []


def test_an_interrupted_run_continues(
    trained: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, folder = trained
    recipe = recipe_for(folder)
    whole = torch.load(run_folder(recipe) / "last.ckpt", weights_only=True)
    monkeypatch.setenv("LIMELIGHT_RUNS", str(tmp_path))
    fit(recipe, epochs=1)
    minutes = json.loads((run_folder(recipe) / "task.json").read_text())["minutes"]
    fit(recipe)
    resumed = torch.load(run_folder(recipe) / "last.ckpt", weights_only=True)
    assert (resumed["epoch"], resumed["global_step"]) == (whole["epoch"], whole["global_step"])
    assert json.loads((run_folder(recipe) / "task.json").read_text())["minutes"] >= minutes


def test_a_run_of_another_recipe_is_refused(trained: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = trained
    text = (folder / "my.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace("dropout = 0.", "dropout = 0.0"))
    with pytest.raises(RunError, match="another version: changed are recipe"):
        open_task(open_recipe(str(tmp_path / "my.toml"), Changes(folder / "my.data")))
    shutil.rmtree(tmp_path)


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["training", "fit", "nope"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert "there is no recipe 'nope'" in capsys.readouterr().out
