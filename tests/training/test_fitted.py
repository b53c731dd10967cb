"""Settings that follow from the amount of data, and the start of a classifier."""

from pathlib import Path

import pytest

from tests.conftest import REAL_MODELS
from training.fitted import schedule_for
from training.opening import Changes, open_recipe
from training.recipe import NOT_STATED, AnyRecipe, ClassificationRecipe, RecipeError, load_recipe

ENGLISH = ["the invoice is wrong again", "I cannot log in to my account", "where is the parcel that I ordered"]
GERMAN = ["die Rechnung ist schon wieder falsch", "ich kann mich nicht anmelden", "das Paket wurde nicht geliefert"]
KOREAN = ["이 영화는 정말 재미있어요", "돈이 아깝다 지루해서 나왔음", "음악은 좋았다"]


def table(folder: Path, texts: list[str]) -> Path:
    rows = [f"{'abc'[n % 3]}\t{texts[n % 3]} {n}" for n in range(120)]
    (folder / "my.tsv").write_text("\n".join(rows))
    return folder / "my.tsv"


def opened(name: str, changes: Changes) -> ClassificationRecipe:
    recipe: AnyRecipe = open_recipe(name, changes)
    assert isinstance(recipe, ClassificationRecipe)
    return recipe


@pytest.mark.parametrize(("texts", "start"), [(ENGLISH, "imdb"), (KOREAN, "nsmc"), (GERMAN, None)])
def test_few_rows_start_from_a_bundle_that_knows_their_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], start: str | None
) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(REAL_MODELS))
    recipe = opened("auto", Changes(table(tmp_path, texts)))
    assert (recipe.warm_start or "").split("/")[0] == (start or "")
    assert recipe.network.embedding == (128 if start else 96)


def test_a_named_recipe_starts_from_its_own_bundle_if_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(REAL_MODELS))
    assert (opened("nsmc", Changes(table(tmp_path, KOREAN))).warm_start or "").startswith("nsmc/")
    assert opened("sms-spam", Changes(table(tmp_path, KOREAN))).warm_start is None
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path / "none"))
    assert opened("auto", Changes(table(tmp_path, ENGLISH))).warm_start is None


def test_a_recipe_may_fix_the_schedule_and_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(REAL_MODELS))
    table(tmp_path, ENGLISH)
    text = f'base = "sms-spam"\nname = "mine"\n[data]\ncorpora = ["{tmp_path}/my.tsv"]\n'
    (tmp_path / "mine.toml").write_text(f"{text}[optimisation]\nepochs = 3\naverage = 0.5\n")
    recipe = opened(str(tmp_path / "mine.toml"), Changes())
    assert (recipe.optimisation.epochs, recipe.optimisation.average) == (3, 0.5)
    assert recipe.warm_start is not None and recipe.warm_start.startswith("imdb/")
    assert recipe.optimisation.warmup_steps != load_recipe("sms-spam").optimisation.warmup_steps
    assert (recipe.intended_use, recipe.known_limits, recipe.description) == (NOT_STATED,) * 3
    assert len(recipe.examples) == 3 and not set(recipe.examples) & set(load_recipe("sms-spam").examples)
    (tmp_path / "mine.toml").write_text(f"{text}[network]\nhidden = 9\n")
    recipe = opened(str(tmp_path / "mine.toml"), Changes())
    assert (recipe.network.hidden, recipe.warm_start) == (9, None)


@pytest.mark.parametrize("rows", [20, 240, 800, 8_000, 100_000])
@pytest.mark.parametrize("started", [False, True])
def test_every_amount_of_data_has_enough_steps(rows: int, started: bool) -> None:
    schedule = schedule_for(rows, 20, 100, started)
    steps = schedule["epochs"] * -(-rows // (16 if rows < 4_000 else 32))
    assert steps >= min(120, 40 * -(-rows // 16))
    assert 0 < schedule["warmup_steps"] <= steps / 5
    assert 0 < schedule["average"] < 1 and 1 / (1 - schedule["average"]) <= steps / 3
    assert schedule["batch_tokens"] >= 100
    long = schedule_for(rows, 800, 1024, started)
    assert long["epochs"] <= schedule["epochs"]


def test_the_shipped_recipes_keep_their_schedules() -> None:
    assert open_recipe("sms-spam") == load_recipe("sms-spam")
    named = open_recipe("sms-spam", Changes(name="other", version=3))
    assert (named.name, named.version, named.default) == ("other", 3, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [(Changes(name="No Name"), "--name needs small letters"), (Changes(columns="a,b"), "--columns needs --data")],
)
def test_options_that_do_not_fit(changes: Changes, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        open_recipe("auto", changes)
