"""The recipe: everything that decides a bundle, in one TOML file. Unknown keys are refused."""

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.networks.attention import ScoreName
from training.networks.recurrent import CellName

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(ValueError):
    """The recipe cannot be used; the message says which key and why."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassificationData(Section):
    corpora: list[str]
    """Names from `training/corpora.py`, or paths of `label<TAB>text` files."""


class TranslationData(Section):
    corpora: list[str]
    """Names from `training/corpora.py`, or paths of `source<TAB>target` files."""
    source: str
    target: str
    """Language codes (ISO 639-1)."""


class TokenizerRecipe(Section):
    model: Literal["bpe", "unigram"] = "bpe"
    vocabulary: int = Field(gt=100)
    lowercase: bool = False
    alphabet: int = Field(default=200, gt=0)
    """How many different characters are known; a rarer one becomes <unk> (its span still shows it)."""


class ClassifierRecipe(Section):
    network: Literal["classifier"]
    cell: CellName = "lstm"
    bidirectional: bool = True
    layers: int = Field(default=1, gt=0)
    embedding: int = Field(default=128, gt=0)
    hidden: int = Field(default=64, gt=0)
    """Hidden size per direction."""
    attention: ScoreName = "additive"
    dropout: float = Field(default=0.3, ge=0, lt=1)


class TransformerRecipe(Section):
    network: Literal["transformer"]
    size: int = Field(default=256, gt=0)
    heads: int = Field(default=4, gt=0)
    encoder_layers: int = Field(default=3, gt=0)
    decoder_layers: int = Field(default=3, gt=0)
    feed_forward: int = Field(default=1024, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Optimisation(Section):
    epochs: int = Field(gt=0)
    patience: int = Field(default=3, gt=0)
    """Stop after so many epochs without a better validation loss."""
    batch_tokens: int = Field(gt=0)
    """Padded tokens in a batch: longest text x texts."""
    learning_rate: float = Field(gt=0)
    """The peak: reached after `warmup_steps`, then falling linearly to zero at the end of the last epoch."""
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights (EMA), which is what is validated and exported."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is autocast: weights stay in float32."""


class Limits(Section):
    max_tokens: int = Field(gt=0)
    """Tokens of one text (of one sentence, for a translator), special ones included."""


class ClassificationRecipe(Section):
    task: Literal["classification"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(default=1, gt=0)
    description: str
    intended_use: str
    known_limits: str
    examples: list[str] = Field(min_length=1)
    """Texts of our own: the golden inputs, and what the card shows. Never rows of a corpus."""
    seed: int = 1
    data: ClassificationData
    tokenizer: TokenizerRecipe
    network: ClassifierRecipe
    optimisation: Optimisation
    limits: Limits


class TranslationRecipe(Section):
    task: Literal["translation"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(default=1, gt=0)
    description: str
    intended_use: str
    known_limits: str
    examples: list[str] = Field(min_length=1)
    """Sentences of our own: the golden inputs, and what the card shows. Never rows of a corpus."""
    summary_layer: int = Field(ge=0)
    """The decoder layer whose cross-attention, averaged over its heads, is shown as the alignment."""
    seed: int = 1
    data: TranslationData
    tokenizer: TokenizerRecipe
    network: TransformerRecipe
    optimisation: Optimisation
    limits: Limits


Recipe = Annotated[ClassificationRecipe | TranslationRecipe, Field(discriminator="task")]


class _RecipeFile(BaseModel):
    recipe: Recipe


def load_recipe(name: str, data: Path | None = None) -> ClassificationRecipe | TranslationRecipe:
    """Read a recipe by its name in `training/recipes/` or by the path of a TOML file.

    `data` trains it on the user's own TSV instead of its corpora. Raises RecipeError.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"there is no recipe {name!r}; known are: {known}; a path must end in .toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from None
    try:
        recipe = _RecipeFile.model_validate({"recipe": content}).recipe
    except ValidationError as error:
        lines = (f"  {'.'.join(str(p) for p in e['loc'][2:]) or 'task'}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{path}:\n" + "\n".join(lines)) from None
    if data is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"corpora": [str(data)]})})
    return recipe


def recipe_hash(recipe: ClassificationRecipe | TranslationRecipe) -> str:
    """The recipe's identity: sha256 of what decides the weights (not of what only describes the bundle)."""
    decisive = recipe.model_dump_json(
        include={"task", "seed", "data", "tokenizer", "network", "optimisation", "limits"}
    )
    return hashlib.sha256(decisive.encode()).hexdigest()
