"""What goes over the wire: requests are checked against these, answers are documented by them."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.attention import AttentionDetail
from service.text.words import AttentionUnit

EXAMPLES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
"""Path -> a request and the real answer to it, for the documentation; a test asks the served models again."""

# Of an empty list the caller is told by `check_texts`, in fewer words than pydantic's.
Texts = str | Annotated[list[str], Field(json_schema_extra={"minItems": 1})]

Stop = Annotated[str, Field(min_length=1, max_length=1_000)]

UNIT = "`word`: sub-words are laid together into words, their attention summed over keys and averaged over queries."


class ClassifyRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [EXAMPLES["/classify"]["request"]]},
    )
    text: Texts = Field(description="The text, or a list of texts, to classify.")
    model: str | None = Field(None, description="Which classifier; GET /models lists them.")
    version: int | None = Field(None, ge=1, description="Which version of it; the highest by default.")
    attention: AttentionDetail = Field("summary", description="How much attention to return.")
    attention_unit: AttentionUnit = Field("token", description=UNIT)
    truncate: bool = Field(False, description="Cut a text over the model's limit instead of refusing it.")


class TranslateRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"required": ["q"], "examples": [EXAMPLES["/translate"]["request"]]})

    q: Texts | None = Field(None, description="The text, or a list of texts, to translate. Required.")
    source: str | None = Field(None, description="Language code of `q`, or `auto`. Required, unless `model` is given.")
    target: str | None = Field(None, description="Language code to translate into. Required, unless `model` is given.")
    format: str = Field("text", description="`text` or `html`, whose markup is kept.")
    model: str | None = Field(None, description="Which translator, where several serve the pair.")
    version: int | None = Field(None, ge=1, description="Which version of it; the highest by default.")
    beam_size: int = Field(4, ge=1, description="Hypotheses kept side by side; 1 is greedy search.")
    length_penalty: float = Field(
        1.0, ge=0, le=4, description="Exponent of the length that scores are divided by; more favours longer text."
    )
    max_length: int | None = Field(None, ge=1, description="Most tokens of a sentence's translation.")
    alternatives: int = Field(0, ge=0, description="How many translations to give beside the best.")
    api_key: str | None = Field(None, description="Where keys are needed and no `Authorization: Bearer` is sent.")
    attention: AttentionDetail = Field("summary", description="How much attention to return.")
    attention_unit: AttentionUnit = Field("token", description=UNIT)


class GenerateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLES["/generate"]["request"]]})

    prompt: str = Field(description="What the text begins with.")
    model: str | None = Field(None, description="Which language model; GET /models lists them.")
    version: int | None = Field(None, ge=1, description="Which version of it; the highest by default.")
    max_tokens: int = Field(200, ge=0, description="Most tokens to write; with 0 the prompt is only read.")
    temperature: float = Field(
        1.0, ge=0, le=100, description="Below 1 likelier tokens are drawn more often, above 1 less; 0 draws nothing."
    )
    top_k: int | None = Field(None, ge=1, description="Draw from so many likeliest tokens only.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the fewest likeliest tokens that have so much of the probability."
    )
    repetition_penalty: float = Field(
        1.0, ge=1, le=10, description="The log-probability of a token that is there already is multiplied by it."
    )
    seed: int | None = Field(
        None, ge=0, le=2**53 - 1, description="The same seed writes the same text; by default another each time."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] = Field(
        [], description="A string, or several, that end the text; they are not part of it."
    )
    attention: AttentionDetail = Field("summary", description="How much attention to return.")


class Token(BaseModel):
    """A token (or word) and the text it stands for, from `start` to `end` (code points, end exclusive)."""

    text: str
    start: int
    end: int
    special: str | None = Field(None, description="Name of a special token, which stands for no text. Else absent.")


class Attention(BaseModel):
    """`weights[i][j]`: how much query i looks at key j. Every row sums to 1.

    `pooling`: 1 x tokens. `self`: tokens x tokens. `cross`: target tokens x source tokens. `encoder_self`: source
    tokens x source tokens. `decoder_self`: row i is the step that chose target token i, column j the token it had
    been given at position j, which is target token j - 1 (column 0 is the start of the sentence). Of words there is
    one column more than rows: a word also looks at its own beginning.
    """

    kind: Literal["pooling", "self", "cross", "encoder_self", "decoder_self"]
    layer: int | None = Field(description="From 0; null where there is only one.")
    head: int | None = Field(description="From 0; null where there is only one, or where heads were averaged.")
    weights: list[list[float]] = Field(description="Rows of queries, columns of keys; 4 significant digits.")


class Prediction(BaseModel):
    label: str
    score: float = Field(description="Probability of the label.")
    scores: dict[str, float] = Field(description="Probability of every label.")
    truncated: bool = Field(description="Whether the text was cut to the model's limit.")
    tokens: list[Token]
    attention: list[Attention]


class ClassifyResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/classify"]["answer"]})

    model: str
    version: str
    predictions: list[Prediction] = Field(description="One for each text, in order.")


class LikelyToken(BaseModel):
    """A token and the text it stands for, from `start` to `end` (code points, end exclusive)."""

    text: str
    start: int
    end: int
    logprob: float | None = Field(
        description="Of the token after those before it, as the network gave it; null where nothing stands before it."
    )


class GenerateResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/generate"]["answer"]})

    model: str
    version: str
    text: str = Field(description="What was written, without the prompt.")
    prompt_tokens: list[LikelyToken] = Field(description="With offsets into `prompt`.")
    tokens: list[LikelyToken] = Field(description="With offsets into `text`.")
    finish_reason: Literal["length", "stop"] = Field(
        description="`stop` where the text came to a stop string or to its own end, `length` at `max_tokens`."
    )
    seed: int = Field(description="With which the same is written again.")
    attention: list[Attention] = Field(
        description="Row i is the step that chose token i, column j the j-th of the prompt's tokens, and then of those "
        "written. Empty where the model looks at nothing."
    )


class Span(BaseModel):
    start: int
    end: int


class Hypothesis(BaseModel):
    text: str
    score: float


class Sentence(BaseModel):
    text: str
    score: float = Field(description="Sum of log-probabilities over the length penalty; 0 is certainty.")
    source: Span = Field(description="Where the sentence stands in `q`.")
    source_tokens: list[Token] = Field(description="With offsets into `q`.")
    target_tokens: list[Token] = Field(description="With offsets into the whole translation.")
    attention: list[Attention]
    alternatives: list[Hypothesis] | None = Field(None, description="When asked for.")


class Translation(BaseModel):
    text: str
    sentences: list[Sentence]


class Detection(BaseModel):
    confidence: float = Field(description="From 0 to 100.")
    language: str = Field(description="Its code.")


class TranslateResponse(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLES["/translate"]["answer"]})

    translatedText: Texts = Field(description="A string where `q` is one, else a list.")
    detectedLanguage: Detection | list[Detection] | None = Field(
        None, description="Where `source` is `auto`: the language of `q`, or of each text."
    )
    model: str | None = Field(description="Null where every text was in the target language already.")
    version: str | None
    translations: list[Translation] = Field(description="One for each text, in order.")
    alternatives: list[str] | list[list[str]] | None = Field(None, description="When asked for.")


class Language(BaseModel):
    code: str
    name: str
    targets: list[str]


class DetectRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"required": ["q"], "examples": [{"q": "Bonjour tout le monde"}]})

    q: Texts | None = Field(None, description="The text, or a list of texts. Required.")
    api_key: str | None = Field(None, description="Where keys are needed and no `Authorization: Bearer` is sent.")


class NamedLanguage(BaseModel):
    code: str
    name: str


class LanguageChoice(BaseModel):
    source: NamedLanguage
    target: NamedLanguage


class FrontendSettings(BaseModel):
    """What LibreTranslate tells its page."""

    apiKeys: bool = False
    charLimit: int = Field(description="Longest text, in characters.")
    filesTranslation: bool = False
    frontendTimeout: int = Field(500, description="Milliseconds to wait for the typist's next letter.")
    keyRequired: bool = False
    language: LanguageChoice
    suggestions: bool = False
    supportedFilesFormat: list[str] = []


class Model(BaseModel):
    """A model as GET /models lists it."""

    name: str
    version: str
    ready: bool
    problem: str | None = Field(description="Why it is not ready.")
    task: Literal["classification", "translation", "generation"] | None = None
    description: str | None = None
    architecture: dict[str, Any] | None = None
    default: bool | None = Field(None, description="Whether requests that name no model come to this one.")
    labels: list[str] | None = None
    source: str | None = None
    target: str | None = None


class AttentionKinds(BaseModel):
    kind: str
    layers: int | None
    heads: int | None


class Picture(BaseModel):
    caption: str
    path: str = Field(description="Where this service has the PNG.")


class ModelDetail(Model):
    """Everything about a model."""

    limits: dict[str, int | None] | None = None
    attention: list[AttentionKinds] | None = Field(None, description="What `full` attention holds.")
    metrics: list[dict[str, Any]] | None = None
    data: list[dict[str, Any]] | None = Field(None, description="What it was trained on, and under which licence.")
    training: dict[str, Any] | None = None
    pictures: list[Picture] | None = Field(None, description="What its card shows.")


class ModelList(BaseModel):
    models: list[Model]


class Reloaded(BaseModel):
    """Versions, each as `<name>/<version>`."""

    loaded: list[str] = Field(description="New or changed, and served from now on.")
    unchanged: list[str]
    removed: list[str] = Field(description="Their folder is gone.")
    refused: dict[str, str] = Field(description="With the reason; what was served under that name goes on.")


class Health(BaseModel):
    status: Literal["ok"]
