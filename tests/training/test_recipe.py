"""Recipes: what they refuse, and what makes two of them the same."""

from pathlib import Path

import pytest

from training.recipe import RECIPES, RecipeError, load_recipe, recipe_hash

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads_under_its_own_name(name: str) -> None:
    """Or under that of the bundle of which it makes a later version."""
    recipe = load_recipe(name)
    assert recipe.name == name or (recipe.version > 1 and load_recipe(recipe.name).version < recipe.version)


def edited(tmp_path: Path, old: str, new: str, name: str = "sms-spam") -> str:
    text = (RECIPES / f"{name}.toml").read_text()
    assert old in text
    path = tmp_path / "my.toml"
    path.write_text(text.replace(old, new, 1))
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hidden", "hiden", r"network\.hiden: Extra inputs"),
        ('cell = "lstm"', 'cell = "mamba"', r"network\.cell: Input should be 'rnn', 'lstm' or 'gru'"),
        ('task = "classification"', 'task = "painting"', "painting"),
        ('name = "sms-spam"', 'name = "../up"', "name: String should match"),
        ("[data]", "[data", "line"),
    ],
)
def test_a_bad_recipe_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(edited(tmp_path, old, new))


def test_an_unknown_recipe_is_told_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'nope'; known are: .*sms-spam"):
        load_recipe("nope")


def test_the_hash_is_of_what_decides_the_weights(tmp_path: Path) -> None:
    recipe = load_recipe("sms-spam")
    reworded = load_recipe(edited(tmp_path, "Is an English", "Whether an English"))
    assert recipe_hash(recipe) == recipe_hash(reworded)
    assert recipe_hash(recipe) != recipe_hash(
        load_recipe(edited(tmp_path, 'attention = "additive"', 'attention = "dot"'))
    )
