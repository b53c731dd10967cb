"""The recipe of a command: a file of `training/recipes/` or the user's, with the user's data and names."""

from dataclasses import dataclass
from pathlib import Path

from training.corpora.own_data import NAME, is_own, own_data, with_examples
from training.fine_tuning import fine_tuned
from training.fitted import fitted
from training.recipe import AnyRecipe, ClassificationRecipe, TranslationRecipe, load_recipe
from training.recipe_files import RECIPES, RecipeError, own_keys, recipe_path

AUTO = "auto"


@dataclass(frozen=True)
class Changes:
    """The options of a command that change a recipe."""

    data: Path | None = None
    columns: str | None = None
    skip_bad_rows: bool = False
    name: str | None = None
    version: int | None = None


def open_recipe(name: str, changes: Changes = Changes(), start: bool = True) -> AnyRecipe:
    """Load a recipe for training or for the use of its result.

    name: a name, a path, or `auto`: nietzsche for a text file, else sms-spam. A classifier of the user's data gets
    settings for its amount of data (`fitted`), and, with `start`, starts from a bundle in `models/` that fits the
    texts: from that of the recipe's name if one is given. A translator of `training/recipes/` with the user's data is
    a fine-tuning of its bundle, if there is one (`fine_tuned`). Raises RecipeError or CorpusError.
    """
    if changes.name is not None and NAME.fullmatch(changes.name) is None:
        raise RecipeError(f"--name needs small letters, digits and hyphens, not {changes.name!r}")
    path = recipe_path(default_recipe(changes.data) if name == AUTO else name)
    recipe = load_recipe(str(path))
    model = recipe.name
    if changes.data is not None:
        recipe = own_data(recipe, changes.data, changes.columns, changes.skip_bad_rows, changes.name)
    elif changes.columns is not None:
        raise RecipeError("--columns needs --data")
    elif changes.name is not None:
        recipe = recipe.model_copy(update={"name": changes.name, "default": False})
    if not recipe.examples:
        recipe = with_examples(recipe)
    if isinstance(recipe, ClassificationRecipe) and is_own(recipe) and (changes.data or path.parent != RECIPES):
        candidates = None if name == AUTO or path.parent != RECIPES else [path.stem]
        if not start or any(own_keys(path, section) for section in ("network", "tokenizer", "vectors")):
            candidates = []
        recipe = fitted(recipe, own_keys(path, "optimisation"), candidates, bool(own_keys(path, "tokenizer")))
    if isinstance(recipe, TranslationRecipe) and changes.data is not None and path.parent == RECIPES:
        recipe = fine_tuned(recipe, model)
    if changes.version is not None:
        recipe = recipe.model_copy(update={"version": changes.version})
    return recipe


def default_recipe(data: Path | None) -> str:
    """The recipe for a file of that name."""
    return "nietzsche" if data is not None and data.name.endswith((".txt", ".txt.gz")) else "sms-spam"
