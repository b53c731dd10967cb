"""Pre-training: predicted tokens, the sampled loss, and the classifier's initial weights."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from training.corpora import own_data
from training.fit import fit
from training.pretraining import LanguageModel, PretrainingTask
from training.recipe import ClassificationRecipe, Pretraining, load_recipe
from training.run import run_folder
from training.tasks import ClassificationTask
from training.tokenization import train_tokenizer

RECIPE = """
base = "sms-spam"
name = "tiny"
pretraining = { epochs = 2, learning_rate = 0.02 }
[tokenizer]
vocabulary = 120
[network]
embedding = 11
hidden = 7
layers = 2
[optimisation]
epochs = 1
"""


def tiny(folder: Path) -> ClassificationRecipe:
    (folder / "tiny.toml").write_text(RECIPE)
    rows = "\n".join(f"{'ab'[n % 2]}\t{'cat sat here' if n % 2 else 'dog ran there'} {n}" for n in range(150))
    (folder / "my.tsv").write_text(rows)
    recipe = own_data(load_recipe(str(folder / "tiny.toml")), folder / "my.tsv")
    assert isinstance(recipe, ClassificationRecipe)
    return recipe


def tokenizer_of(recipe: ClassificationRecipe) -> Tokenizer:
    return train_tokenizer(["cat sat here", "dog ran there 0 1 2 3 4 5 6 7 8 9"], recipe.tokenizer)


def test_no_direction_reads_the_token_it_predicts(tmp_path: Path) -> None:
    network = LanguageModel(tiny(tmp_path), vocabulary=17, pad_id=0).eval()
    ids, lengths = torch.tensor([[4, 5, 6, 7, 8], [9, 10, 11, 0, 0]]), torch.tensor([5, 3])
    guesses, wanted = network(ids, lengths)
    assert wanted.tolist() == [5, 6, 7, 8, 10, 11] + [4, 5, 6, 7, 9, 10]
    changed = ids.clone()
    changed[0, 2] = 12
    moved = (network(changed, lengths)[0] - guesses).abs().sum(1) > 0
    # Forward: positions 2 and 3 read the changed token. Backward: positions 1 and 0 are predicted from position 2 on.
    assert moved.tolist() == [False, False, True, True, False, False] + [True, True, False, False, False, False]


@pytest.mark.parametrize(("samples", "tolerance"), [(20_000, 1e-5), (30, 0.1)])
def test_the_sampled_loss_is_unbiased(tmp_path: Path, samples: int, tolerance: float) -> None:
    recipe = tiny(tmp_path)
    torch.manual_seed(0)
    options = Pretraining(epochs=1, learning_rate=0.1, samples=samples)
    task = PretrainingTask(recipe.model_copy(update={"pretraining": options}), tokenizer_of(recipe))
    words = task.network.embedding.num_embeddings
    task.frequencies = F.normalize(torch.rand(words) + 0.1, p=1, dim=0)
    guesses, wanted = torch.randn(50, 11), torch.randint(1, words, (50,))
    whole = F.cross_entropy(guesses @ task.network.embedding.weight.T, wanted)
    sampled = torch.stack([task.sampled_loss(guesses, wanted) for _ in range(100)]).mean()
    assert sampled.item() == pytest.approx(whole.item(), abs=tolerance)


def test_the_classifier_starts_from_pretrained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_RUNS", str(tmp_path / "runs"))
    recipe = tiny(tmp_path)
    fit(recipe)
    checkpoint = run_folder(recipe) / "pretraining" / "best.ckpt"
    learned = torch.load(checkpoint, weights_only=True)["state_dict"]
    task = ClassificationTask(recipe, ["a", "b"], Tokenizer.from_file(str(run_folder(recipe) / "tokenizer.json")))
    task.pretrained = checkpoint
    task.initialise()
    torch.testing.assert_close(task.network.embedding.weight, learned["network.embedding.weight"])
    for name in ("weight_ih_l0", "weight_hh_l0_reverse"):
        own = task.network.encoder.layers.get_parameter(name)
        torch.testing.assert_close(own, learned[f"network.encoder.layers.{name}"])
