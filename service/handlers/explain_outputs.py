"""Explain an output: the influence of each word of a source on each word of a translation, and of past characters on
the characters that follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.attention import outputs_for
from service.batching.offload import run_in_thread_if_long
from service.bundle.manifest import Manifest
from service.errors import EmptyText, TextTooLong, UnsupportedOption
from service.explanation.influence import Influence, InfluenceMethod, InfluenceParams, Influences
from service.explanation.influence import explain as explain_rows
from service.explanation.subsets import Indices
from service.explanation.units import Units
from service.generation.engine import greedy_request
from service.generation.generator import Generator
from service.handlers.encoding import Encoding, rounded, token, tokens_of
from service.handlers.explain_labels import encode_faithfulness
from service.handlers.explain_schemas import ExplainRequest
from service.handlers.output_scorers import CompletionScorer, Output, TranslationScorer
from service.settings import Settings
from service.text.sentences import is_blank
from service.text.tokenizer import Encoded, TextTokenizer, Token
from service.text.words import AttentionUnit
from service.translation.engine import Options, TranslationRequest
from service.translation.translator import Translator

OWN_TOKENS = 16
"""Tokens of a language model's own output, which a request without `output` explains."""


@dataclass(frozen=True)
class OutputAnswer:
    """The answer to a request."""

    manifest: Manifest
    output: str
    unit: str
    tokens: list[Token]
    """The units that can have an influence."""
    output_tokens: list[Token]
    influences: Influences

    @property
    def model(self) -> str:
        return self.manifest.name

    @property
    def size(self) -> int:
        return sum(one.weights.size for one in self.influences.explanations)

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        """The answer in the form of `explain_schemas.ExplainOutputResponse`."""
        influences = self.influences
        return {
            "model": self.manifest.name,
            "version": str(self.manifest.version),
            "output": self.output,
            "unit": self.unit,
            "tokens": tokens_of(self.tokens),
            "output_tokens": [
                {**token(one), "logprob": rounded(log_prob)}
                for one, log_prob in zip(self.output_tokens, influences.log_probs.tolist(), strict=True)
            ],
            "explanations": [_encode_influence(one) for one in influences.explanations],
            "random": None if influences.random is None else encode_faithfulness(influences.random),
            "evaluations": influences.evaluations,
        }


def _encode_influence(one: Influence) -> dict[str, Any]:
    """The weights of one method in the form of `explain_schemas.InfluenceExplanation`."""
    return {
        "method": one.method,
        "weights": one.weights.round(6).tolist(),
        "faithfulness": encode_faithfulness(one.faithfulness),
        "occlusion_correlation": None if one.correlation is None else round(one.correlation, 4),
    }


async def explain_translation(request: ExplainRequest, translator: Translator, settings: Settings) -> OutputAnswer:
    """Explain each word of a translation by the words of its source. The source is one sentence.

    Raises the errors of `explain.explain`.
    """
    methods = _methods(request, translator)
    text = request.text
    encoded = await run_in_thread_if_long([text], lambda: _encode(translator.source_tokenizer, text, translator))
    output = await _translation(request, translator, encoded)
    unit = request.unit or "word"
    units = Units(text, encoded, translator.source_tokenizer, unit, request.removal)
    scorer = TranslationScorer(translator, text, units, output, unit, "attention" in methods, settings)
    available = np.full(len(output.units), len(units.tokens), dtype=np.intp)
    influences = await _explain(request, settings, methods, available, len(units.tokens), scorer)
    return OutputAnswer(translator.manifest, output.text, unit, units.tokens, output.units, influences)


async def explain_completion(request: ExplainRequest, generator: Generator, settings: Settings) -> OutputAnswer:
    """Explain each character (or token) of a continuation by the text before it. The text has at least two tokens.

    Raises the errors of `explain.explain`.
    """
    methods = _methods(request, generator)
    text, unit = request.text, request.unit or "token"
    encoded = await run_in_thread_if_long([text], lambda: _encode(generator.tokenizer, text, generator))
    if len(encoded.ids) < 2:
        raise UnsupportedOption(f"{generator.manifest.name} needs a text of at least two tokens to explain")
    output = await _continuation(request, generator, encoded, unit)
    scorer = CompletionScorer(generator, text, encoded, output, unit, request, "attention" in methods, settings)
    available = scorer.prompt_units + np.arange(len(output.units))
    if available[0] < 2:
        raise UnsupportedOption("the text is one word: ask for the unit `token`, or send a longer text")
    influences = await _explain(request, settings, methods, available, len(scorer.tokens), scorer)
    return OutputAnswer(generator.manifest, output.text, unit, scorer.tokens, output.units, influences)


def _methods(request: ExplainRequest, model: Translator | Generator) -> list[InfluenceMethod]:
    """The requested methods, each once; by default all that the model has. Raises UnsupportedOption."""
    name = model.manifest.name
    if request.target is not None or request.evaluations is not None:
        raise UnsupportedOption(f"{name} is not a classifier, which `target` and `evaluations` are for")
    has_attention = bool(outputs_for("summary", model.manifest.attention))
    if request.methods is None:
        return ["attention", "occlusion"] if has_attention else ["occlusion"]
    methods: list[InfluenceMethod] = []
    for method in dict.fromkeys(request.methods):
        if method == "shapley" or method == "contribution":
            raise UnsupportedOption(f"{name} is not a classifier; ask for attention or occlusion")
        methods.append(method)
    if "attention" in methods and not has_attention:
        raise UnsupportedOption(f"{name} has no attention; ask for occlusion")
    return methods


def _encode(tokenizer: TextTokenizer, text: str, model: Translator | Generator) -> Encoded:
    """The tokens of a text. Raises EmptyText or TextTooLong."""
    if is_blank(text):
        raise EmptyText("the text has no visible character")
    encoded = tokenizer.encode_beginning(text, limit := model.manifest.limits.max_tokens)
    if len(encoded.ids) > limit:
        raise TextTooLong(f"the text has {len(encoded.ids)} tokens, {model.manifest.name} reads up to {limit}")
    return encoded


async def _translation(request: ExplainRequest, translator: Translator, encoded: Encoded) -> Output:
    """The given translation, or the model's own."""
    unit = request.unit or "word"
    if request.output is not None:
        return _given(request.output, translator.target_tokenizer, translator, unit)
    unknown = translator.source_tokenizer.unknown(encoded.ids)
    own = TranslationRequest(encoded.ids, unknown, Options(attention="none"))
    [decoded] = await translator.scheduler.submit([own])
    copied = {place: encoded.tokens[source].text for place, source in decoded.copied[0].items()}
    token_ids = decoded.hypotheses[0].token_ids
    if not token_ids:
        raise EmptyText(f"the translation of {translator.manifest.name} is empty; send an output")
    return Output(token_ids, *translator.target_tokenizer.decode(token_ids, copied=copied), unit)


async def _continuation(request: ExplainRequest, generator: Generator, encoded: Encoded, unit: AttentionUnit) -> Output:
    """The given continuation, or the most likely next tokens."""
    if request.output is not None:
        return _given(request.output, generator.tokenizer, generator, unit)
    own = greedy_request(encoded.ids, min(OWN_TOKENS, generator.max_tokens))
    [result] = await generator.scheduler.submit([own])
    token_ids = result.completion.token_ids
    if not token_ids:
        raise EmptyText(f"{generator.manifest.name} ends the text here; send an output")
    return Output(token_ids, *_decoded(generator.tokenizer, encoded.ids, token_ids), unit)


def _decoded(tokenizer: TextTokenizer, before: list[int], token_ids: list[int]) -> tuple[str, list[Token]]:
    """The text of a continuation and its tokens, white space included."""
    text, tokens, decode = "", [], tokenizer.stream_decoder(before)
    for token_id in token_ids:
        surface = decode(token_id)
        tokens.append(Token(surface, len(text), len(text) + len(surface)))
        text += surface
    return text, tokens


def _given(text: str, tokenizer: TextTokenizer, model: Translator | Generator, unit: AttentionUnit) -> Output:
    """An output from the request. Raises EmptyText or TextTooLong."""
    if not text or (isinstance(model, Translator) and is_blank(text)):
        raise EmptyText("the output has no visible character")
    encoded = tokenizer.encode_beginning(text, limit := model.manifest.limits.max_target_tokens)
    count = sum(one.special is None for one in encoded.tokens)
    if count > limit:
        raise TextTooLong(f"the output has {count} tokens, {model.manifest.name} writes up to {limit}")
    return Output(encoded.ids[:count], text, encoded.tokens[:count], unit)


async def _explain(
    request: ExplainRequest,
    settings: Settings,
    methods: Sequence[InfluenceMethod],
    available: Indices,
    units: int,
    scorer: TranslationScorer | CompletionScorer,
) -> Influences:
    params = InfluenceParams(methods, settings.max_explain_evaluations, request.random_orders, request.seed)
    return await explain_rows(available, units, scorer.attention, scorer.evaluate, params)
