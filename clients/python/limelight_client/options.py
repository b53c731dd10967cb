"""Keyword arguments of the client's methods. All are optional; the defaults are those of the service."""

from typing import Literal, TypedDict

Detail = Literal["none", "summary", "full"]
Unit = Literal["token", "word"]
Method = Literal["attention", "contribution", "occlusion", "shapley"]


class ModelOptions(TypedDict, total=False):
    """The choice of a model."""

    model: str
    """Name of a model, if not the default one."""
    version: int
    """Version of the model; the highest by default."""


class ClassifyOptions(ModelOptions, total=False):
    """Options of `classify`."""

    attention: Detail
    """Attention matrices to return."""
    attention_unit: Unit
    """`word` merges sub-words into words."""
    truncate: bool
    """Cut a text over the limit of the model instead of refusing it."""
    raw: bool
    """Return the scores of the network, without calibration."""


class TranslateOptions(ModelOptions, total=False):
    """Options of `translate` and `stream`."""

    format: Literal["text", "html"]
    """`html` keeps markup."""
    beam_size: int
    """Number of hypotheses in beam search; 1 is greedy search."""
    length_penalty: float
    """Exponent of the length by which scores are divided, from 0 to 4."""
    max_length: int
    """Maximum tokens in the translation of a sentence."""
    alternatives: int
    """Number of translations besides the best."""
    glossary: dict[str, str] | str
    """Source terms with their required translations, or the name of a stored glossary."""
    logprobs: bool
    """Return the log-probability of each target token, with words also their confidence."""
    memory: str
    """Name of a stored translation memory."""
    memory_threshold: float
    """Least score of a similar text of the memory, from 0.5 to 1."""
    alignment: bool | Literal["symmetric"]
    """Return links between the words of each sentence and its translation; `symmetric`: of both directions."""
    attention: Detail
    """Attention matrices to return."""
    attention_unit: Unit
    """`word` merges sub-words into words."""


class GenerateOptions(ModelOptions, total=False):
    """Options of `generate` and `write`."""

    max_tokens: int
    """Maximum tokens to generate; with 0 the prompt is only scored."""
    temperature: float
    """Values below 1 favour likely tokens; 0 always takes the likeliest."""
    top_k: int
    """Sample from this number of likeliest tokens only."""
    top_p: float
    """Sample from the smallest set of likeliest tokens with this total probability."""
    repetition_penalty: float
    """Factor on the log-probability of tokens that already occur, from 1 to 10."""
    seed: int
    """The same seed generates the same text; random by default."""
    stop: str | list[str]
    """Strings that end the text; not part of the text."""
    attention: Detail
    """Attention matrices to return."""


class ExplainOptions(ModelOptions, total=False):
    """Options of `explain`."""

    methods: list[Method]
    """Methods in the order of the result; by default all that the model has."""
    target: str
    """Label whose score is explained; by default the most likely one. For classifiers only."""
    output: str
    """Translation or continuation that is explained; by default the model's own. Not for classifiers."""
    unit: Unit
    """Units that get a weight."""
    removal: Literal["delete", "unknown"]
    """`delete` leaves units out; `unknown` replaces each of their tokens by the unknown symbol."""
    evaluations: int
    """Maximum changed texts for the Shapley values."""
    random_orders: int
    """Number of random orders whose faithfulness is averaged."""
    seed: int
    """Seed of the random orders."""


class DocumentOptions(TypedDict, total=False):
    """Options of `translate_document`."""

    model: str
    """Name of a translator, if several serve the pair."""
    beam_size: int
    """Number of hypotheses in beam search; 1 is greedy search."""
    glossary: str
    """Name of a stored glossary."""
    memory: str
    """Name of a stored translation memory."""
