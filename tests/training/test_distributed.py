"""Training in several processes: shares of batches, and the same network as with one process."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.training.fit_in_ranks import fit_in_ranks
from training.batching import TokenBatches
from training.distributed import rank_loader, share_of_rows
from training.fit import fit
from training.recipe import load_recipe
from training.run import read_journal, run_folder

CLASSIFIER = """
base = "sms-spam"
name = "texts"
vectors = false
[data]
corpora = ["texts.tsv"]
[tokenizer]
vocabulary = 150
[network]
embedding = 5
hidden = 3
dropout = 0.0
[optimisation]
epochs = 3
batch_tokens = 90
balance = true
adversarial = 0.1
"""
TRANSLATOR = """
base = "en-fr"
name = "pairs"
[data]
corpora = ["pairs.tsv"]
[tokenizer]
vocabulary = 150
[network]
size = 8
heads = 2
encoder_layers = 1
decoder_layers = 2
feed_forward = 8
dropout = 0.0
[optimisation]
epochs = 2
batch_tokens = 90
learning_rate = 0.0003
warmup_steps = 2
precision = "float32"
"""
LANGUAGE_MODEL = """
base = "nietzsche-gru"
name = "text"
[data]
corpora = ["text.txt"]
[network]
embedding = 5
size = 7
dropout = 0.0
[optimisation]
epochs = 2
batch_tokens = 96
stretch = 32
"""


def write_recipe(folder: Path, kind: str) -> Path:
    """A recipe without randomness in its network, and its data."""
    kinds = [("mild", "a calm day"), ("wild", "storm and hail"), ("wild", "thunder over the hills " * 6)]
    texts = [f"{label}\t{text} {n}" for n in range(24) for label, text in kinds]
    pairs = [f"number {n} is {'very ' * (n % 5)}here\tle {n} est {'tres ' * (n % 3)}ici" for n in range(90)]
    (folder / "texts.tsv").write_text("\n".join(texts))
    (folder / "pairs.tsv").write_text("\n".join(pairs))
    (folder / "text.txt").write_text("The wind and the rain are over the hill.\n" * 40)
    path = folder / f"{kind}.toml"
    path.write_text({"texts": CLASSIFIER, "pairs": TRANSLATOR, "text": LANGUAGE_MODEL}[kind])
    return path


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / name, map_location="cpu", weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize("kind", ["texts", "pairs", "text"])
def test_two_processes_train_the_network_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = str(write_recipe(tmp_path, kind))
    two_runs = {"LIMELIGHT_DATA": str(tmp_path), "LIMELIGHT_RUNS": str(tmp_path / "two")}
    for name, value in two_runs.items():
        monkeypatch.setenv(name, value)
    recipe = load_recipe(path)
    two = run_folder(recipe)
    if kind == "texts":
        assert fit_in_ranks(two_runs, path, killed=True)[1] == -signal.SIGKILL
        assert len(read_journal(two)["epochs"]) == 1  # the next call resumes here
    assert fit_in_ranks(two_runs, path) == [0, 0]
    monkeypatch.setenv("LIMELIGHT_RUNS", str(tmp_path / "one"))
    one = fit(recipe)
    for name in ("last.ckpt", "best.ckpt"):
        expected, found = weights(one, name), weights(two, name)
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], atol=1e-4, rtol=0)
    expected_epochs, found_epochs = read_journal(one)["epochs"], read_journal(two)["epochs"]
    assert len(found_epochs) == recipe.optimisation.epochs
    for expected_epoch, found_epoch in zip(expected_epochs, found_epochs, strict=True):
        # The training loss is the mean of the ranks' means.
        assert found_epoch.pop("train_loss") == pytest.approx(expected_epoch.pop("train_loss"), abs=2e-2)
        assert found_epoch == pytest.approx(expected_epoch, abs=1e-4)


def test_the_shares_of_all_ranks_are_the_global_batches() -> None:
    lengths = [5, 1, 2, 9, 1, 3, 2]
    batches = TokenBatches(lengths, batch_tokens=9, seed=3)

    def identity(examples: list[int]) -> list[int]:
        return examples

    loader: Any = DataLoader(lengths, batch_sampler=batches, collate_fn=identity)  # type: ignore[arg-type]
    shares = [list(rank_loader(loader, rank, 3)) for rank in range(3)]
    assert {len(share) for share in shares} == {len(batches)}  # no rank waits for another one
    for step, batch in enumerate(batches):
        counted = [share[step][0] for share in shares if share[step][1]]
        assert sorted(sum(counted, [])) == sorted(lengths[index] for index in batch)


def test_a_rank_without_rows_has_weight_zero() -> None:
    batch = (torch.tensor([[1, 2], [3, 4]]), torch.tensor([[5], [6]]))
    shares = [share_of_rows(batch, rank, 3) for rank in range(3)]
    assert [counted for _, counted in shares] == [1, 1, 0]
    assert shares[1][0][0].tolist() == [[3, 4]] and shares[1][0][1].tolist() == [[6]]
    assert len(shares[2][0][0]) == 1
