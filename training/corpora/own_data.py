"""Recipes for the user's own file."""

import re
from pathlib import Path

from training.corpora.reading import labelled_texts, running_text, sentence_pairs
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, RecipeError


def own_data(recipe: AnyRecipe, path: Path, columns: str | None = None) -> AnyRecipe:
    """Return the recipe with the user's file as its corpus, the name of the file, and examples from it.

    `columns`: the two names in the header of the file, separated by a comma. The whole file is read, so that errors
    appear before the training. Raises CorpusError or RecipeError.
    """
    name = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")
    if not name:
        raise RecipeError(f"{path.name!r} is no name for a model: rename the file with letters a-z or digits")
    if columns is not None and columns.count(",") != 1:
        raise RecipeError(f"--columns needs two names separated by a comma, not {columns!r}")
    if columns is not None and isinstance(recipe, GenerationRecipe):
        raise RecipeError("a running text has no columns: omit --columns")
    changed = {"corpora": [str(path)], **({"columns": tuple(columns.split(","))} if columns else {})}
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})
    if isinstance(own, GenerationRecipe):
        texts = [line[:60] for line in running_text(own.data, "valid").splitlines() if line.strip()]
    elif isinstance(own, ClassificationRecipe):
        labelled_texts(own.data, "train")
        texts = [row.text for row in labelled_texts(own.data, "valid")]
    else:
        texts = [pair.source for pair in sentence_pairs(str(path), "valid", own.data)]
    described = {
        "name": name,
        "description": f"Trained on {path.name} by the recipe {recipe.name}.",
        "intended_use": f"Texts like those of {path.name}.",
        "known_limits": "Not stated. The metrics are measured on a tenth of the file.",
        "examples": sorted(dict.fromkeys(texts), key=lambda text: (len(text) > 100, texts.index(text)))[:3],
    }
    return own.model_copy(update=described)
