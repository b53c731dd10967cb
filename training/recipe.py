"""The recipe: everything that decides a bundle, in one TOML file. Unknown keys are refused."""

import hashlib
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from training.networks.attention import LocalName, ScoreName
from training.networks.classifier import QueryName
from training.networks.language import PastScoreName
from training.networks.recurrent import CellName
from training.networks.seq2seq import DecoderName
from training.networks.transformer import NormName

RECIPES = Path(__file__).parent / "recipes"


PrecisionName = Literal["auto", "float32", "bfloat16"]


class RecipeError(ValueError):
    """The recipe cannot be used; the message says which key and why."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassificationData(Section):
    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of `label<TAB>text` files."""
    columns: tuple[str, str] = ("label", "text")
    """What a file's header calls them."""
    labels: dict[str, str] | None = None
    """What a file calls a label -> what the bundle calls it; rows of other labels are left out."""
    rows: int | None = Field(default=None, gt=0)
    """Train on so many rows of the training split only, drawn by their content."""


class Mixture(Section):
    """An epoch is drawn from kinds of text, anew each time, instead of being all of every corpus."""

    pairs: int = Field(gt=0)
    """Of one epoch."""
    shares: dict[str, float] = Field(min_length=1)
    """Kind -> its share of an epoch, in any unit. A kind is a domain as a corpus names it in its column `domain`
    (ui, docs), or the name of a corpus without one, or one of `lengths`. What no kind takes is left out."""
    lengths: dict[str, int] = {}
    """Kind -> the most words of a source that is of this kind, whatever its domain; the least that fits counts."""

    @field_validator("shares")
    @classmethod
    def all_above_zero(cls, shares: dict[str, float]) -> dict[str, float]:
        if wrong := [kind for kind, share in shares.items() if not 0 < share < math.inf]:
            raise ValueError(f"the share of {', '.join(wrong)} is not above 0")
        return shares


class Augmentation(Section):
    """The share of training pairs that each change is tried on, anew in each epoch; 0 leaves it out."""

    joined: float = Field(default=0.0, ge=0, le=1)
    """Of short pairs: one or two others behind it."""
    counts: float = Field(default=0.0, ge=0, le=1)
    """Placeholders of numbers, as %d, become numbers."""
    numbers: float = Field(default=0.0, ge=0, le=1)
    """Numbers that both sides share are drawn anew."""
    tags: float = Field(default=0.0, ge=0, le=1)
    """Tags that both sides share are left out, as a service leaves them out that puts them back by alignment."""
    pieces: float = Field(default=0.0, ge=0, le=1)
    """Placeholders, addresses, code and the like that both sides share become stand-ins."""
    words: float = Field(default=0.0, ge=0, le=1)
    """Words that both sides share become stand-ins, or one is put before or behind the sentence."""
    stop: float = Field(default=0.0, ge=0, le=1)
    """The final stop of both sides is left out."""
    upper: float = Field(default=0.0, ge=0, le=1)
    title: float = Field(default=0.0, ge=0, le=1)
    lower: float = Field(default=0.0, ge=0, le=1)
    """Both sides in capitals, with a capital at each word, in small letters."""
    typos: float = Field(default=0.0, ge=0, le=1)
    """A slip of the pen in the source."""
    marks: float = Field(default=0.0, ge=0, le=1)
    """The source without accents."""


class TranslationData(Section):
    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of `source<TAB>target` files. One that is named twice is
    trained on twice in every epoch."""
    measured: list[str] = []
    """Further corpora that nothing is learned from, on which the bundle is measured too."""
    columns: tuple[str, str] = ("source", "target")
    """What a file's header calls them."""
    source: str
    target: str
    """Language codes (ISO 639-1)."""
    hidden: float = Field(default=0.0, ge=0, le=1)
    """In this share of the pairs a symbol is unknown on both sides, anew in each epoch, which teaches the network to
    copy what it does not know: a word that stands on both sides, or else one put before or behind them."""
    mixture: Mixture | None = None
    """How an epoch is drawn; by default it is all pairs of all corpora."""
    augmentation: Augmentation | None = None
    longest: int | None = Field(default=None, gt=0)
    """Tokens of a side of a training pair, if less than the limit: longer pairs cost more than they teach."""


class TextData(Section):
    corpora: list[str]
    """Names from `training/corpora/catalogue.py`, or paths of plain text files. Of each the first eight tenths are
    trained on, the ninth validates, the last tests."""


class TokenizerRecipe(Section):
    model: Literal["bpe", "unigram", "word", "character"] = "bpe"
    """Sub-words by merging pairs (bpe) or by likelihood (unigram), whole words, or single characters."""
    vocabulary: int = Field(gt=100)
    lowercase: bool = False
    alphabet: int = Field(default=200, gt=0)
    """How many different characters are known; a rarer one becomes <unk> (its span still shows it)."""
    normal_form: Literal["nfkc", "nfc"] = "nfkc"
    """The Unicode form of what is read: nfkc writes `…` as three stops and `m²` as `m2`, nfc leaves them."""
    byte_fallback: bool = False
    """A character that is not known is spelled in bytes (bpe only), so that nothing is unknown."""
    stand_ins: int = Field(default=0, ge=0, le=16)
    """So many characters from U+E000 on are tokens of their own, each for something that is copied as it is."""
    sampling: float = Field(default=0.0, ge=0, le=1)
    """Sub-words are drawn anew in each epoch of training: the share of merges left out (bpe: Provilkov et al. 2020), or
    the power of the probabilities drawn from, where less is wilder (unigram: Kudo 2018). 0 is always the best ones."""


class ClassifierRecipe(Section):
    network: Literal["classifier"]
    cell: CellName = "lstm"
    bidirectional: bool = True
    layers: int = Field(default=1, gt=0)
    embedding: int = Field(default=128, gt=0)
    hidden: int = Field(default=64, gt=0)
    """Hidden size per direction."""
    attention: ScoreName | Literal["none"] = "additive"
    query: QueryName = "last"
    """Who asks: the last states, a learned vector, or every position itself (self-attention)."""
    dense: int | None = Field(default=None, gt=0)
    """Units of a ReLU layer before the decision."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of words that are left out of a text in training."""
    variational: bool = False
    """One dropout mask for all positions of a text."""


class VectorsRecipe(Section):
    """Where the word vectors start from."""

    file: str | None = None
    """A file in GloVe's text format, in the data folder or by its own path; by default word2vec is trained on the
    recipe's texts, unlabelled ones included."""
    freeze: bool = False
    """Leave them as they are."""


class Pretraining(Section):
    """The embedding and the first recurrent layer learn to predict the next word (and the one before) of the recipe's
    texts, unlabelled ones included, before they learn the labels."""

    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    samples: int = Field(default=512, gt=0)
    """About so many words stand for the whole vocabulary that the right one is compared with."""


class TransformerRecipe(Section):
    network: Literal["transformer"]
    size: int = Field(default=256, gt=0)
    heads: int = Field(default=4, gt=0)
    encoder_layers: int = Field(default=3, gt=0)
    decoder_layers: int = Field(default=3, gt=0)
    feed_forward: int = Field(default=1024, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    norm: NormName = "pre"
    """Norm before each sub-layer (pre), or after it as in the paper (post)."""


class Seq2SeqRecipe(Section):
    network: Literal["seq2seq"]
    decoder: DecoderName = "luong"
    """When it looks: before a token is read (bahdanau), or after (luong)."""
    attention: ScoreName | Literal["none"] = "general"
    input_feeding: bool = False
    """Luong's: what was found for one token is read with the next."""
    local: LocalName | None = None
    """Look only near one place: that of the target's token (monotonic), or one that is learned (predictive)."""
    window: int = Field(default=10, gt=0)
    """Local attention sees so many tokens on either side."""
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = Field(default=256, gt=0)
    size: int = Field(default=256, gt=0, multiple_of=2)
    """Of the decoder's state, and of the encoder's two directions together."""
    encoder_layers: int = Field(default=1, gt=0)
    decoder_layers: int = Field(default=1, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)


class RecurrentLanguageRecipe(Section):
    network: Literal["recurrent"]
    cell: CellName = "lstm"
    embedding: int = Field(default=128, gt=0)
    size: int = Field(default=512, gt=0)
    layers: int = Field(default=1, gt=0)
    attention: PastScoreName | Literal["none"] = "none"
    """How a state scores those before it, which it then looks at."""
    window: int = Field(default=128, gt=1)
    """How many tokens attention can see, the last one included."""
    dropout: float = Field(default=0.3, ge=0, lt=1)


class TransformerLanguageRecipe(Section):
    network: Literal["decoder"]
    size: int = Field(default=256, gt=0)
    heads: int = Field(default=4, gt=0)
    layers: int = Field(default=4, gt=0)
    feed_forward: int = Field(default=1024, gt=0)
    window: int = Field(default=128, gt=1)
    """How many tokens each layer can see, the last one included."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    norm: NormName = "pre"


class Optimisation(Section):
    epochs: int = Field(gt=0)
    patience: int = Field(default=3, gt=0)
    """Stop after so many epochs without a better validation loss (balanced accuracy, of a classifier)."""
    batch_tokens: int = Field(gt=0)
    """Padded tokens in a batch: longest text x texts."""
    stretch: int = Field(default=128, gt=0)
    """Of a running text so many tokens are read in one step, through which gradients flow back; the state goes on."""
    learning_rate: float = Field(gt=0)
    """The peak: reached after `warmup_steps`, then falling linearly to zero at the end of the last epoch."""
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    samples: int = Field(default=0, ge=0)
    """Of a translator's vocabulary, about so many tokens besides those of the batch stand for all the others in the
    loss of a step; 0 compares with all. The output is half of what a small network costs."""
    guided: float = Field(default=0.0, ge=0)
    """Weight of guided alignment (Garg et al. 2019) in a translator's loss: the layer that is shown learns to look at
    what stands on both sides, such as a name, a number or a stand-in."""
    balance: bool = False
    """Weigh the classes as if each had as many texts."""
    adversarial: float = Field(default=0.0, ge=0)
    """Size of the adversarial perturbation of the embeddings (Miyato et al. 2017); 0 is none."""
    average: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights (EMA), which is what is validated and exported."""
    precision: PrecisionName = "float32"
    """bfloat16 is autocast: weights stay in float32. auto takes it where the processor is fast at it."""


class Limits(Section):
    max_tokens: int = Field(gt=0)
    """Tokens of one text (of one sentence, for a translator), special ones included."""


class BundleRecipe(Section):
    """What every recipe says of its bundle."""

    task: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(default=1, gt=0)
    description: str
    intended_use: str
    known_limits: str
    examples: list[str] = Field(min_length=1)
    """Texts, sentences or beginnings of our own: the golden inputs, and what the card shows. Never rows of a corpus."""
    seed: int = 1


class ClassificationRecipe(BundleRecipe):
    task: Literal["classification"]
    data: ClassificationData
    tokenizer: TokenizerRecipe
    vectors: VectorsRecipe | None = None
    pretraining: Pretraining | None = None
    warm_start: str | None = None
    """A classifier in `models/` whose tokenizer and weights this one starts from, instead of vectors or pre-training;
    the networks must be alike."""
    network: ClassifierRecipe
    optimisation: Optimisation
    limits: Limits


class TranslationRecipe(BundleRecipe):
    task: Literal["translation"]
    summary_layer: int = Field(default=0, ge=0)
    """The Transformer's decoder layer whose cross-attention, averaged over its heads, is shown as the alignment."""
    data: TranslationData
    tokenizer: TokenizerRecipe
    warm_start: str | None = None
    """A translator in `models/` that lends its weights, those of the same name and shape; of its embedding, the tokens
    that both know."""
    network: Annotated[TransformerRecipe | Seq2SeqRecipe, Field(discriminator="network")]
    optimisation: Optimisation
    limits: Limits


class GenerationRecipe(BundleRecipe):
    task: Literal["generation"]
    summary_layer: int = Field(default=0, ge=0)
    """The layer whose attention, averaged over its heads, is shown."""
    data: TextData
    tokenizer: TokenizerRecipe
    warm_start: str | None = None
    """A language model in `models/` that lends its weights, those of the same name and shape; of its embedding, the
    tokens that both know."""
    network: Annotated[RecurrentLanguageRecipe | TransformerLanguageRecipe, Field(discriminator="network")]
    optimisation: Optimisation
    limits: Limits


AnyRecipe = ClassificationRecipe | TranslationRecipe | GenerationRecipe


class _RecipeFile(BaseModel):
    recipe: Annotated[AnyRecipe, Field(discriminator="task")]


def read_recipe(path: Path) -> dict[str, Any]:
    """A TOML file as it stands, laid over the recipe that its key `base` names, if it names one."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: {error}") from None
    base = content.pop("base", None)
    return content if base is None else overlay(read_recipe(recipe_path(base)), content)


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
    """Where a recipe is: its name in `training/recipes/`, or the path of a TOML file. Raises RecipeError."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"there is no recipe {name!r}; known are: {known}; a path must end in .toml")
    return path


def load_recipe(name: str) -> AnyRecipe:
    """Read a recipe by its name in `training/recipes/` or by the path of a TOML file. Raises RecipeError."""
    path = recipe_path(name)
    try:
        return _RecipeFile.model_validate({"recipe": read_recipe(path)}).recipe
    except ValidationError as error:
        lines = (f"  {'.'.join(str(p) for p in e['loc'][2:]) or 'task'}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{path}:\n" + "\n".join(lines)) from None


def varied(recipe: ClassificationRecipe, changes: dict[str, str]) -> ClassificationRecipe:
    """The recipe with other values in its network, under a name that tells them. Raises RecipeError."""
    content = recipe.model_dump(exclude_defaults=True)
    content["name"] = "-".join([recipe.name, *changes.values()]).replace("_", "-").lower()
    content["network"] |= changes
    try:
        return ClassificationRecipe.model_validate(content)
    except ValidationError as error:
        lines = (f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise RecipeError("; ".join(lines)) from None


def recipe_hash(recipe: AnyRecipe) -> str:
    """The recipe's identity: sha256 of what decides the weights (not of what only describes the bundle)."""
    told = {"name", "version", "description", "intended_use", "known_limits", "examples", "summary_layer"}
    decisive = recipe.model_dump_json(exclude=told, exclude_defaults=True)
    return hashlib.sha256(decisive.encode()).hexdigest()
