"""Schemas of /explain."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.explanation.explainer import Method
from service.explanation.influence import InfluenceMethod
from service.explanation.units import Removal
from service.handlers.schemas import Token
from service.text.words import AttentionUnit

MAX_RANDOM_ORDERS = 100
MAX_SEED = 2**53 - 1
"""JavaScript clients read numbers as doubles."""

EXAMPLE: dict[str, Any] = {
    "text": "FREE entry! Text WIN to 80086 now",
    "model": "sms-spam",
    "methods": ["attention", "occlusion"],
}


class ExplainRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    text: str = Field(
        description="The text whose score is explained; for a translator one sentence, for a language model the "
        "beginning of a text."
    )
    model: str | None = Field(
        None, description="Name of a model; GET /models lists them. By default the default classifier."
    )
    version: int | None = Field(None, ge=1, description="Version of the model; the highest by default.")
    methods: Annotated[list[Method], Field(min_length=1, max_length=4)] | None = Field(
        None, description="Methods, in the order of the answer; by default all that the model has."
    )
    target: str | None = Field(
        None, description="Label whose score is explained; by default the most likely one. For classifiers only."
    )
    output: str | None = Field(
        None,
        description="The translation or the continuation that is explained; by default the model's own. Not for "
        "classifiers.",
    )
    unit: AttentionUnit | None = Field(
        None, description="Units that get a weight: words or tokens; by default words, for language models tokens."
    )
    removal: Removal = Field(
        "delete",
        description="`delete` leaves units out; `unknown` replaces each of their tokens by the unknown symbol.",
    )
    evaluations: int | None = Field(
        None, ge=2, description="Maximum changed texts for the Shapley values; by default 256, more for long texts."
    )
    random_orders: int = Field(
        10, ge=0, le=MAX_RANDOM_ORDERS, description="Number of random orders whose faithfulness is averaged."
    )
    seed: int = Field(
        0, ge=0, le=MAX_SEED, description="Seed of the random orders; the same one gives the same answer."
    )


class ShareOfUnits(BaseModel):
    share: float = Field(description="Share of the units.")
    comprehensiveness: float
    sufficiency: float


class FaithfulnessOfOrder(BaseModel):
    comprehensiveness: float = Field(
        description="Fall of the score without the first units, averaged over the shares (AOPC). Higher is better."
    )
    sufficiency: float = Field(
        description="Fall of the score with the first units alone, averaged over the shares. Lower is better."
    )
    shares: list[ShareOfUnits]


class MethodExplanation(BaseModel):
    method: Method
    weights: list[float] = Field(
        description="One weight per token of the answer: attention weights, contributions to the logit relative to the "
        "mean of all labels, or changes of the score."
    )
    errors: list[float] | None = Field(description="Standard errors of sampled Shapley values; 0 if they are exact.")
    faithfulness: FaithfulnessOfOrder
    occlusion_correlation: float | None = Field(
        description="Spearman's rank correlation with the weights of occlusion, of attention with their absolute "
        "values. Null for occlusion itself, without occlusion, and if all weights are equal."
    )


class ExplainResponse(BaseModel):
    model: str
    version: str
    target: str = Field(description="Label whose score is explained.")
    score: float = Field(description="Score of the label, as /classify gives it.")
    empty_score: float | None = Field(
        description="Score of the label for a text of one unknown symbol. The Shapley values sum to the difference."
    )
    unit: Literal["word", "token"]
    tokens: list[Token] = Field(description="The words or tokens.")
    explanations: list[MethodExplanation]
    random: FaithfulnessOfOrder | None = Field(description="The mean of random orders, to compare with.")
    evaluations: int = Field(description="Number of changed texts that were classified, the whole text included.")


class OutputToken(Token):
    logprob: float = Field(description="Log-probability given the whole text and the output before.")


class InfluenceExplanation(BaseModel):
    method: InfluenceMethod
    weights: list[list[float]] = Field(
        description="A row per output token with one weight per token: attention weights, or the fall of the "
        "log-probability of the output token without the token. 0 for tokens that come later."
    )
    faithfulness: FaithfulnessOfOrder = Field(
        description="Falls of the log-probabilities, averaged over the output tokens. Each has an order of its own."
    )
    occlusion_correlation: float | None = Field(
        description="Spearman's rank correlation of attention with the absolute weights of occlusion, averaged over "
        "the output tokens. Null for occlusion itself, and if all weights are equal."
    )


class ExplainOutputResponse(BaseModel):
    model: str
    version: str
    output: str = Field(description="The translation or the continuation that is explained.")
    unit: Literal["word", "token"]
    tokens: list[Token] = Field(
        description="The words or tokens of the text; for a language model also those of the output but the last. "
        "Offsets are into the text, and into the output."
    )
    output_tokens: list[OutputToken] = Field(description="The words or tokens of the output.")
    explanations: list[InfluenceExplanation]
    random: FaithfulnessOfOrder | None = Field(description="The mean of random orders, to compare with.")
    evaluations: int = Field(description="Number of inputs that were scored, the whole text included.")
