"""Recipes for the user's own file."""

import re
from pathlib import Path

from training.corpora.reading import labelled_texts, running_text, sentence_pairs
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, RecipeError


def own_data(recipe: AnyRecipe, path: Path, columns: str | None = None) -> AnyRecipe:
    """The recipe for the user's own file: named after it, with its corpora and its texts as examples.

    `columns` are the two names in its header, with a comma between. The file is read whole, so that what is wrong
    with it is told before any training. Raises CorpusError or RecipeError.
    """
    name = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")
    if not name:
        raise RecipeError(f"{path.name!r} gives the model no name: call the file by letters a-z or digits")
    if columns is not None and columns.count(",") != 1:
        raise RecipeError(f"--columns takes two names with a comma between, not {columns!r}")
    if columns is not None and isinstance(recipe, GenerationRecipe):
        raise RecipeError("a running text has no columns: leave --columns out")
    changed = {"corpora": [str(path)], **({"columns": tuple(columns.split(","))} if columns else {})}
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})
    if isinstance(own, GenerationRecipe):
        texts = [line[:60] for line in running_text(own.data, "valid").splitlines() if line.strip()]
    elif isinstance(own, ClassificationRecipe):
        labelled_texts(own.data, "train")
        texts = [row.text for row in labelled_texts(own.data, "valid")]
    else:
        texts = [pair.source for pair in sentence_pairs(str(path), "valid", own.data)]
    told = {
        "name": name,
        "description": f"Trained on {path.name} by the recipe {recipe.name}.",
        "intended_use": f"Texts like those of {path.name}.",
        "known_limits": "Not told: the recipe is another's.",
        "examples": sorted(dict.fromkeys(texts), key=lambda text: (len(text) > 100, texts.index(text)))[:3],
    }
    return own.model_copy(update=told)
