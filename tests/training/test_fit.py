"""Training: the precision that is chosen, and a translator that sees its epochs again."""

import json
from pathlib import Path

import pytest
import torch

from training import fit
from training.fit import chosen_precision
from training.recipe import Mixture, TranslationRecipe, load_recipe
from training.run import load_best


@pytest.mark.parametrize(("fast", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_where_it_is_fast_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fast: bool, expected: str
) -> None:
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: fast)
    assert chosen_precision("auto") == expected
    assert expected in capsys.readouterr().out
    assert chosen_precision("float32") == "float32"


def test_a_recipe_that_insists_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: False)
    with pytest.warns(UserWarning, match="slow in bfloat16"):
        assert chosen_precision("bfloat16") == "bfloat16"
    monkeypatch.setattr(fit, "bfloat16_is_fast", lambda: True)
    assert chosen_precision("bfloat16") == "bfloat16"


def small_translator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TranslationRecipe:
    """A small translator with a mixture, augmentation, sampled loss and guided alignment."""
    rows = "".join(f"number {n} is {{here}}\tle {n} est {{here}}\n" for n in range(400))
    (folder / "my.tsv").write_text(rows)
    monkeypatch.setenv("LIMELIGHT_DATA", str(folder))
    monkeypatch.setenv("LIMELIGHT_RUNS", str(folder / "runs"))
    recipe = load_recipe("en-fr-mixed")
    assert isinstance(recipe, TranslationRecipe)
    mixture = Mixture(pairs=100, shares={"my.tsv": 1})
    network = {"size": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 16}
    optimisation = {"epochs": 2, "samples": 100, "batch_tokens": 300, "warmup_steps": 2, "patience": 1000}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"corpora": ["my.tsv"], "mixture": mixture}),
            "tokenizer": recipe.tokenizer.model_copy(update={"vocabulary": 400}),
            "network": recipe.network.model_copy(update=network),
            "optimisation": recipe.optimisation.model_copy(update=optimisation),
            "summary_layer": 0,
            "warm_start": None,
        }
    )


def test_a_mixed_translator_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_translator(tmp_path, monkeypatch)
    fit.fit(recipe, epochs=1)
    folder = fit.fit(recipe)
    epochs = json.loads((folder / "task.json").read_text())["epochs"]
    assert len(epochs) == 2 and epochs[1]["train_loss"] < epochs[0]["train_loss"]


def test_training_ends_after_the_minutes_with_a_learning_rate_of_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_translator(tmp_path, monkeypatch)
    folder = fit.fit(recipe, epochs=100_000, minutes=0.08)
    state = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True)
    [group] = state["optimizer_states"][0]["param_groups"]
    assert 0 <= group["lr"] < 0.1 * recipe.optimisation.learning_rate
    assert load_best(recipe).network is not None
    assert len(json.loads((folder / "task.json").read_text())["epochs"]) == state["epoch"] + 1
