"""The TOML files of recipes, as dictionaries. A file with the key `base` changes another recipe."""

import tomllib
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """The recipe is invalid. The message names the key and the reason."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a TOML file. If it has the key `base`, its content changes that recipe (`inherited`, `overlay`)."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from None
    base = content.pop("base", None)
    return content if base is None else overlay(inherited(read_recipe(recipe_path(base)), content), content)


def own_keys(path: Path, section: str) -> set[str]:
    """Keys of a section that are set by the user's files: by the file or by its bases outside `training/recipes/`."""
    if path.parent == RECIPES:
        return set()
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    base = own_keys(recipe_path(content["base"]), section) if "base" in content else set()
    return base | set(content.get(section, {}))


def inherited(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the base without the texts that are wrong for a changed recipe.

    A model with another name does not inherit the description or the mark as default. A model of other data does not
    inherit the intended use, the limits and the examples either.
    """
    if changes.get("name", base["name"]) == base["name"]:
        return base
    lost = {"description", "default"}
    old, new = base["data"], base["data"] | changes.get("data", {})
    if any(old.get(key) != new.get(key) for key in ("source", "target")) or set(old["corpora"]) != set(new["corpora"]):
        lost |= {"intended_use", "known_limits", "examples"}
    return {key: value for key, value in base.items() if key not in lost}


def overlay(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the base with the changes, section by section. A section for another kind of network replaces the one of
    the base. `false` removes a section or a number.

    >>> overlay({"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 5}}, {"b": {"c": 4, "d": False}, "e": False})
    {'a': 1, 'b': {'c': 4}}
    """
    merged = dict(base)
    for key, value in changes.items():
        if value is False and isinstance(base.get(key), dict | float | int) and not isinstance(base[key], bool):
            del merged[key]
            continue
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        alike = both and value.get("network") in (None, base[key].get("network"))
        merged[key] = overlay(base[key], value) if alike else value
    return merged


def recipe_path(name: str) -> Path:
    """Path of a recipe: a name in `training/recipes/`, or the path of a TOML file. Raises RecipeError."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"there is no recipe {name!r}. Known recipes: {known}. A path must end in .toml")
    return path
