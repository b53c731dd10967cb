"""Recipes: what they refuse, and what makes two of them the same."""

import json
from pathlib import Path

import pytest

from service.bundle.files import find_bundles, read_manifest
from tests.conftest import REAL_MODELS
from training.corpora.mixing import LEXICON
from training.recipe import (
    RECIPES,
    AnyRecipe,
    ClassificationRecipe,
    GenerationRecipe,
    RecipeError,
    TranslationRecipe,
    load_recipe,
    recipe_hash,
)
from training.tasks import build_classifier, build_language_model, build_translator

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads_under_its_own_name(name: str) -> None:
    """Or under that of the bundle of which it makes a later version."""
    recipe = load_recipe(name)
    assert recipe.name == name or (recipe.version > 1 and load_recipe(recipe.name).version < recipe.version)


TRANSLATORS = [name for name in NAMES if isinstance(load_recipe(name), TranslationRecipe)]


@pytest.mark.parametrize("name", TRANSLATORS)
def test_the_shares_of_a_mixture_fit_its_corpora(name: str) -> None:
    """A share names a length, a corpus, the word pairs, or a domain if the recipe has a corpus with domains."""
    recipe = load_recipe(name)
    assert isinstance(recipe, TranslationRecipe)
    if recipe.data.mixture is None:
        return
    domains = (
        {"ui", "docs", "web", "prose", "legal"} if any(c.startswith("open-") for c in recipe.data.corpora) else set()
    )
    known = {*recipe.data.corpora, *recipe.data.mixture.lengths, *domains, LEXICON}
    assert set(recipe.data.mixture.shares) <= known
    open_corpora = {corpus for corpus in recipe.data.corpora if corpus.startswith("open-")}
    assert set(recipe.data.corpora) - open_corpora <= set(recipe.data.mixture.shares)


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
    with pytest.raises(RecipeError, match=r"no recipe 'nope'. Known recipes: .*sms-spam"):
        load_recipe("nope")


RECIPE_TYPES: dict[str, type[AnyRecipe]] = {
    "classification": ClassificationRecipe,
    "translation": TranslationRecipe,
    "generation": GenerationRecipe,
}
BUNDLES = [folder for versions in find_bundles(REAL_MODELS).values() for folder in versions.values()]


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_the_hash_of_a_stored_recipe_does_not_change(folder: Path) -> None:
    """A run resumes and a bundle is exported only with the hash that training stored."""
    manifest = read_manifest(folder)
    recipe = RECIPE_TYPES[manifest.task].model_validate_json(json.dumps(manifest.training.recipe))
    assert recipe_hash(recipe) == manifest.training.recipe_sha256


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_contains_the_config_of_the_network(name: str) -> None:
    recipe = load_recipe(name)
    if isinstance(recipe, ClassificationRecipe):
        assert build_classifier(recipe, 17, 2, 0).config is recipe.network
    elif isinstance(recipe, TranslationRecipe):
        assert build_translator(recipe, 17, 0).config is recipe.network
    else:
        assert build_language_model(recipe, 17).config is recipe.network


def test_the_hash_is_of_what_decides_the_weights(tmp_path: Path) -> None:
    recipe = load_recipe("sms-spam")
    reworded = load_recipe(edited(tmp_path, "Is an English", "Whether an English"))
    assert recipe_hash(recipe) == recipe_hash(reworded)
    assert recipe_hash(recipe) != recipe_hash(
        load_recipe(edited(tmp_path, 'attention = "additive"', 'attention = "dot"'))
    )
