"""Recipes for the user's own file."""

import re
from pathlib import Path

from training.corpora.catalogue import BOOKS, CORPORA
from training.corpora.reading import labelled_texts, running_text, sentence_pairs
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, RecipeError, TranslationRecipe

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
PLAIN = re.compile(r"(?:[^\W\d_]|[ ,'-])+[.?!]?")
"""One sentence of letters, spaces and commas."""


def own_data(
    recipe: AnyRecipe, path: Path, columns: str | None = None, skip_bad: bool = False, name: str | None = None
) -> AnyRecipe:
    """Return the recipe with the user's file as its corpus, the name of the file, and examples from it.

    `columns`: the names or numbers of the two columns, separated by a comma. `skip_bad`: skip rows that cannot be
    read. `name`: another name than that of the file. The whole file is read, so that errors appear before the
    training. Raises CorpusError or RecipeError.
    """
    if columns is not None and columns.count(",") != 1:
        raise RecipeError(f"--columns needs two names separated by a comma, not {columns!r}")
    if columns is not None and isinstance(recipe, GenerationRecipe):
        raise RecipeError("a running text has no columns: omit --columns")
    changed: dict[str, object] = {"corpora": [str(path)]}
    if not isinstance(recipe, GenerationRecipe):
        changed |= {"skip_bad_rows": skip_bad} if skip_bad else {}
        changed |= {"columns": tuple(part.strip() for part in columns.split(","))} if columns else {}
    content = recipe.model_dump(exclude_unset=True, exclude={"version", "default", "examples"})
    content |= {
        "name": name or name_of(path),
        "data": content["data"] | changed,
        "description": f"Trained on {path.name} by the recipe {recipe.name}.",
        "intended_use": f"Texts like those of {path.name}.",
        "known_limits": "Not stated. The metrics are measured on a tenth of the file.",
    }
    return with_examples(type(recipe).model_validate(content))


def name_of(path: Path) -> str:
    """The name of the file as a name of a model. Raises RecipeError."""
    name = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")
    if not name:
        raise RecipeError(
            f"{path.name!r} is no name for a model: rename the file with letters a-z or digits, or choose a name "
            "with --name (make train: NAME=...)"
        )
    return name


def is_own(recipe: AnyRecipe) -> bool:
    """True if a corpus of the recipe is a user's file."""
    return any(corpus not in CORPORA and corpus not in BOOKS for corpus in recipe.data.corpora)


def with_examples(recipe: AnyRecipe) -> AnyRecipe:
    """Return the recipe with three short texts of the validation split as examples. Every split is read.

    Raises CorpusError.
    """
    if isinstance(recipe, GenerationRecipe):
        texts = [line[:60] for line in running_text(recipe.data, "valid").splitlines() if line.strip()]
    elif isinstance(recipe, ClassificationRecipe):
        labelled_texts(recipe.data, "train")
        texts = [row.text for row in labelled_texts(recipe.data, "valid")]
    else:
        texts = [pair.source for corpus in recipe.data.corpora for pair in sentence_pairs(corpus, "valid", recipe.data)]
    if isinstance(recipe, TranslationRecipe):
        # The service splits several sentences and keeps placeholders and unknown symbols; PyTorch's answer does not.
        texts = sorted(dict.fromkeys(texts), key=lambda text: (PLAIN.fullmatch(text) is None, len(text) > 60))
    else:
        texts = sorted(dict.fromkeys(texts), key=lambda text: len(text) > 100)
    return recipe.model_copy(update={"examples": texts[:3]})
