"""Schemas of requests and answers: requests are validated, answers are documented."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from service.attention import AttentionDetail
from service.bundle.manifest import AttentionKind
from service.text.words import AttentionUnit

EXAMPLES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
"""Path -> a request and its real answer, for the documentation. A test sends the requests to the served models."""

# `check_texts` refuses an empty list with a shorter message than pydantic's.
Texts = str | Annotated[list[str], Field(json_schema_extra={"minItems": 1})]

Stop = Annotated[str, Field(min_length=1, max_length=1_000)]

UNIT = "`word` merges sub-words into words; attention is summed over keys and averaged over queries."


class ClassifyRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [EXAMPLES["/classify"]["request"]]},
    )
    text: Texts = Field(description="The text, or a list of texts, to classify.")
    model: str | None = Field(None, description="Name of a classifier; GET /models lists them.")
    version: int | None = Field(None, ge=1, description="Version of the model; the highest by default.")
    attention: AttentionDetail = Field("summary", description="Attention matrices to return.")
    attention_unit: AttentionUnit = Field("token", description=UNIT)
    truncate: bool = Field(False, description="Cut a text over the limit of the model instead of refusing it.")
    raw: bool = Field(False, description="Return the scores of the network, without calibration.")


class TranslateRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"required": ["q"], "examples": [EXAMPLES["/translate"]["request"]]})

    q: Texts | None = Field(None, description="The text, or a list of texts, to translate. Required.")
    source: str | None = Field(None, description="Language code of `q`, or `auto`. Required, unless `model` is given.")
    target: str | None = Field(None, description="Language code to translate into. Required, unless `model` is given.")
    format: str = Field("text", description="`text` or `html`, whose markup is kept.")
    model: str | None = Field(None, description="Name of a translator, if several serve the pair.")
    version: int | None = Field(None, ge=1, description="Version of the model; the highest by default.")
    beam_size: int = Field(4, ge=1, description="Number of hypotheses in beam search; 1 is greedy search.")
    length_penalty: float = Field(
        1.0,
        ge=0,
        le=4,
        description="Exponent of the length by which scores are divided; higher values favour longer text.",
    )
    max_length: int | None = Field(None, ge=1, description="Maximum tokens in the translation of a sentence.")
    alternatives: int = Field(0, ge=0, description="Number of translations besides the best.")
    glossary: dict[str, str] | str | None = Field(
        None,
        description="Source terms with their required translations, or the name of a stored glossary. "
        "In a form: a JSON object or a name.",
    )
    memory: str | None = Field(None, description="Name of a stored translation memory.")
    memory_threshold: float = Field(
        0.75,
        ge=0.5,
        le=1,
        description="Least score of a similar text of the memory; with 1 there are exact matches only.",
    )
    logprobs: bool = Field(
        False, description="Return the log-probability of each target token, with words also their confidence."
    )
    alignment: bool | Literal["symmetric"] = Field(
        False,
        description="Return links between the words of each sentence and its translation. `symmetric` also reads the "
        "translation with the model of the reverse direction, and combines both alignments.",
    )
    api_key: str | None = Field(None, description="API key, if keys are needed and no `Authorization: Bearer` is sent.")
    attention: AttentionDetail = Field("summary", description="Attention matrices to return.")
    attention_unit: AttentionUnit = Field("token", description=UNIT)

    @field_validator("glossary", mode="before")
    @classmethod
    def _object_in_form(cls, value: object) -> object:
        """A form has no objects: it has the JSON of one."""
        if isinstance(value, str) and value.lstrip().startswith("{"):
            return orjson.loads(value)
        return value or None

    @field_validator(
        *(
            "memory_threshold",
            "format",
            "beam_size",
            "length_penalty",
            "max_length",
            "alternatives",
            "logprobs",
            "alignment",
            "attention",
        ),
        "attention_unit",
        mode="before",
    )
    @classmethod
    def _default_for_null(cls, value: object, info: ValidationInfo) -> object:
        """LibreTranslate's clients send null and "" for options that they do not set."""
        assert info.field_name is not None
        return cls.model_fields[info.field_name].default if value is None or value == "" else value


class GenerateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLES["/generate"]["request"]]})

    prompt: str = Field(description="Text to continue.")
    model: str | None = Field(None, description="Name of a language model; GET /models lists them.")
    version: int | None = Field(None, ge=1, description="Version of the model; the highest by default.")
    max_tokens: int = Field(200, ge=0, description="Maximum tokens to generate; with 0 the prompt is only scored.")
    temperature: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Values below 1 favour likely tokens, values above 1 unlikely ones; 0 always takes the likeliest.",
    )
    top_k: int | None = Field(None, ge=1, description="Sample from this number of likeliest tokens only.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Sample from the smallest set of likeliest tokens with this total probability."
    )
    repetition_penalty: float = Field(
        1.0, ge=1, le=10, description="Factor on the log-probability of tokens that already occur."
    )
    seed: int | None = Field(
        None, ge=0, le=2**53 - 1, description="The same seed generates the same text; by default the seed is random."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] = Field(
        [], description="A string, or several, that end the text; not part of the text."
    )
    attention: AttentionDetail = Field("summary", description="Attention matrices to return.")


class Token(BaseModel):
    """A token (or word) and its text, from `start` to `end` (code points, end exclusive)."""

    text: str
    start: int
    end: int
    special: str | None = Field(
        None, description="Name of a special token, which has an empty span; absent for other tokens."
    )


class Attention(BaseModel):
    """`weights[i][j]` is the attention weight of key j for query i. Every row sums to 1, except those of
    `contribution`.

    `pooling`: 1 x tokens. `contribution`: 1 x tokens, the share of each token in the logit of one label; the shares and
    a constant sum to the logit. `self`: tokens x tokens. `cross`: target tokens x source tokens. `encoder_self`: source
    tokens x source tokens. `decoder_self`: row i is the step that chose target token i, column j is the input token at
    position j, which is target token j - 1 (column 0 is the start of the sentence). A matrix of words has one column
    more than rows, because a word also attends to its own first tokens.
    """

    kind: AttentionKind
    layer: int | None = Field(description="Counted from 0; null if there is only one.")
    head: int | None = Field(
        description="Counted from 0; null if there is only one, or if heads are averaged. For `contribution`: the "
        "position of the label in `scores`."
    )
    weights: list[list[float]] = Field(description="One row per query, one column per key; 4 significant digits.")


class Prediction(BaseModel):
    label: str
    score: float = Field(description="Probability of the label.")
    scores: dict[str, float] = Field(description="Probability of every label.")
    truncated: bool = Field(description="True if the text was cut to the limit of the model.")
    tokens: list[Token]
    attention: list[Attention]


class ClassifyResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/classify"]["answer"]})

    model: str
    version: str
    predictions: list[Prediction] = Field(description="One per text, in order.")


class LikelyToken(BaseModel):
    """A token and its text, from `start` to `end` (code points, end exclusive)."""

    text: str
    start: int
    end: int
    logprob: float | None = Field(
        description="Log-probability of the token given the tokens before it; null for the first token of the prompt."
    )


class GenerateResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/generate"]["answer"]})

    model: str
    version: str
    text: str = Field(description="Generated text, without the prompt.")
    prompt_tokens: list[LikelyToken] = Field(description="Tokens with offsets into `prompt`.")
    tokens: list[LikelyToken] = Field(description="Tokens with offsets into `text`.")
    finish_reason: Literal["length", "stop"] = Field(
        description="`stop` at a stop string or at the end-of-text token, `length` at `max_tokens`."
    )
    seed: int = Field(description="Seed that generates the same text again.")
    attention: list[Attention] = Field(
        description="Row i is the step that chose token i; column j is token j of the prompt followed by the generated "
        "text. Empty for a model without attention."
    )


class Span(BaseModel):
    start: int
    end: int


class Hypothesis(BaseModel):
    text: str
    score: float


class TargetToken(Token):
    """A token (or word) of a translation."""

    logprob: float | None = Field(
        None, description="Log-probability given the source and the tokens before it. Present if requested."
    )
    confidence: float | None = Field(
        None,
        description="Probability that a word is right, calibrated if the model is. Present for words if requested.",
    )


class MemoryMatch(BaseModel):
    """The best match in the translation memory."""

    score: float = Field(description="1 for an exact match, less for a similar text.")
    used: bool = Field(description="True if the match is exact: its target is the translation.")
    source: str = Field(description="The text in the memory.")
    target: str = Field(description="Its translation.")


class Sentence(BaseModel):
    text: str
    score: float = Field(description="Sum of log-probabilities divided by the length penalty; at most 0.")
    source: Span = Field(description="Span of the sentence in `q`.")
    source_tokens: list[Token] = Field(description="Tokens with offsets into `q`.")
    target_tokens: list[TargetToken] = Field(description="Tokens with offsets into the whole translation.")
    attention: list[Attention]
    alternatives: list[Hypothesis] | None = Field(None, description="Present if requested.")
    alignment: "list[AlignedWords] | None" = Field(None, description="Present if requested.")
    match: MemoryMatch | None = Field(
        None, description="Present if a text of the memory is like this sentence, which is not the whole text."
    )


class Surface(BaseModel):
    """A part of a text."""

    text: str
    start: int
    end: int


class AlignedWords(BaseModel):
    """A word of a translation and the source word with its highest weight."""

    source: Surface = Field(description="The word in `q`.")
    target: Surface = Field(description="The word in the whole translation.")


class UsedTerm(BaseModel):
    """A term of the glossary in a text."""

    term: str = Field(description="The source term, as the glossary has it.")
    source: Surface = Field(description="Its occurrence in `q`.")
    target: Surface = Field(description="Its translation, in the whole translation.")


class Step(BaseModel):
    """One of two translations through English."""

    model: str
    version: str
    source: str
    target: str
    text: str = Field(description="Translation after this step.")


class LanguagePart(Span):
    """Paragraphs of one language, in `q`."""

    language: str


class Translation(BaseModel):
    text: str
    sentences: list[Sentence]
    glossary: list[UsedTerm] | None = Field(
        None, description="Present if the request has a glossary: its terms in the text, in order."
    )
    languages: list[LanguagePart] | None = Field(
        None, description="Present if `source` is `auto` and paragraphs of the text are in several languages."
    )
    match: MemoryMatch | None = Field(
        None, description="Present if the request has a memory: its match of the text, or null."
    )
    steps: list[Step] | None = Field(
        None, description="Present if no model translates the pair, and the text is translated through English."
    )


class Detection(BaseModel):
    confidence: float = Field(description="From 0 to 100.")
    language: str = Field(description="Language code.")


class TranslateResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/translate"]["answer"]})

    translatedText: Texts = Field(description="A string if `q` is a string, else a list.")
    detectedLanguage: Detection | list[Detection] | None = Field(
        None, description="Present if `source` is `auto`: the language of `q`, or of each text."
    )
    model: str | None = Field(description="Null if every text is already in the target language; `a+b` for two models.")
    version: str | None
    translations: list[Translation] = Field(description="One per text, in order.")
    alternatives: list[str] | list[list[str]] | None = Field(None, description="Present if requested.")


class Language(BaseModel):
    code: str
    name: str
    targets: list[str] = Field(description="Codes of its target languages; empty if it is a target only.")


class DetectRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"required": ["q"], "examples": [{"q": "Bonjour tout le monde"}]})

    q: Texts | None = Field(None, description="The text, or a list of texts. Required.")
    api_key: str | None = Field(None, description="API key, if keys are needed and no `Authorization: Bearer` is sent.")
