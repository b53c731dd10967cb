"""Log-probabilities of a given output for changed inputs, as requests to the scheduler.

Legend: R sets of kept units, U units of the input, T units of the output.
"""

from collections.abc import Sequence

import numpy as np

from service.attention import AttentionDetail, outputs_for
from service.batching import budget
from service.batching.offload import run_in_thread_if_long
from service.errors import TextTooLong, TooManyTokens, UnsupportedOption
from service.explanation.subsets import Floats, Masks
from service.explanation.units import Units
from service.generation.engine import greedy_request
from service.generation.generator import Generator
from service.handlers.explain_schemas import ExplainRequest
from service.settings import Settings
from service.text.tokenizer import Encoded, Token
from service.text.words import AttentionUnit, Words
from service.translation.engine import Decoded, Options, TranslationRequest, forced_request
from service.translation.translator import Translator

INPUTS_AT_ONCE = 256
"""Maximum inputs in one request to the scheduler: each step of a translator returns its whole vocabulary for each."""


class Output:
    """An output as token ids, and its units."""

    def __init__(self, token_ids: list[int], text: str, tokens: Sequence[Token], unit: AttentionUnit):
        self.token_ids = token_ids
        self.text = text
        words = Words(tokens, text)
        single = unit == "token"
        self._starts = np.arange(len(tokens)) if single else words.starts
        self.sizes = np.ones(len(tokens), dtype=np.intp) if single else words.sizes
        """[T]: tokens of each unit."""
        self.units = list(tokens) if single else words.tokens

    def sums(self, values: Floats) -> Floats:
        """Values of the tokens [..., tokens] -> values of the units [..., T]."""
        return np.asarray(np.add.reduceat(values, self._starts, axis=-1), dtype=np.float64)


class TranslationScorer:
    """Scores a translation given changed sources. The first source is the whole one."""

    def __init__(
        self,
        translator: Translator,
        text: str,
        units: Units,
        output: Output,
        unit: AttentionUnit,
        with_attention: bool,
        settings: Settings,
    ):
        self._translator = translator
        self._text = text
        self._units = units
        self._output = output
        self._detail: AttentionDetail = "summary" if with_attention else "none"
        self._max_tokens = settings.max_request_tokens
        self._whole: Decoded | None = None

    def attention(self) -> Floats:
        """Attention that each unit of the output pays to each unit of the source, [T, U], in the first summary."""
        assert self._whole is not None, "evaluate comes first"
        weights = self._units.sums(np.asarray(self._whole.attention_of(0)[0].weights, dtype=np.float64))
        return self._output.sums(weights.T).T / self._output.sizes[:, None]

    async def evaluate(self, masks: Masks) -> Floats:
        """Sets of kept units [R, U] -> log-probability of each unit of the output, [R, T].

        Raises TextTooLong, TooManyTokens, Overloaded, InferenceTimeout or InferenceFailed.
        """
        rows = await run_in_thread_if_long([self._text] * len(masks), lambda: self._units.keep(masks))
        check_tokens(sum(map(len, rows)) + len(rows) * len(self._output.token_ids), len(rows), self._max_tokens)
        if (longest := max(map(len, rows))) > (limit := self._translator.manifest.limits.max_tokens):
            raise TextTooLong(f"the text without some words has {longest} tokens; the limit is {limit}")
        requests = [self._request(ids, "none") for ids in rows]
        if self._whole is None:
            requests[0] = self._request(rows[0], self._detail)
        results: list[Decoded] = []
        for start in range(0, len(requests), INPUTS_AT_ONCE):
            results += await self._translator.scheduler.submit(requests[start : start + INPUTS_AT_ONCE])
        self._whole = self._whole or results[0]
        return self._output.sums(np.array([result.hypotheses[0].log_probs for result in results]))

    def _request(self, ids: list[int], detail: AttentionDetail) -> TranslationRequest:
        """A request that scores the output: the engine can write nothing else."""
        # The engine finds the copied symbol for each unknown symbol of an output: here any position will do.
        unknown = self._translator.manifest.special_ids.unknown
        positions = list(range(len(ids))) if unknown in self._output.token_ids else []
        options = Options(1, attention=detail, log_probs=True)
        return forced_request(ids, positions, options, self._output.token_ids, self._translator.target_tokenizer.size)


class CompletionScorer:
    """Scores a continuation given changed texts before each of its tokens."""

    def __init__(
        self,
        generator: Generator,
        text: str,
        encoded: Encoded,
        output: Output,
        unit: AttentionUnit,
        request: ExplainRequest,
        with_attention: bool,
        settings: Settings,
    ):
        self._generator = generator
        self._output = output
        self._with_attention = with_attention
        prompt = Output(encoded.ids, text, encoded.tokens, unit)
        self.prompt_units = len(prompt.units)
        self.tokens = [*prompt.units, *output.units[:-1]]
        """Units of the past."""
        self._sizes = np.concatenate([prompt.sizes, output.sizes])
        self._ids = np.array([*encoded.ids, *output.token_ids], dtype=np.int64)
        self._unknown = generator.tokenizer.unknown_id if request.removal == "unknown" else None
        if request.removal == "unknown" and self._unknown is None:
            raise UnsupportedOption("the tokenizer of this model has no unknown symbol; use the removal `delete`")
        self._max_tokens = settings.max_request_tokens
        self._attention: Floats = np.zeros((0, 0))

    def attention(self) -> Floats:
        """Attention that each unit of the output pays to each unit of the past, [T, U]."""
        return self._attention

    async def evaluate(self, masks: Masks) -> Floats:
        """Sets of kept units [R, U] -> log-probability of each unit of the output, [R, T]; 0 for removed ones.

        Raises TooManyTokens, Overloaded, InferenceTimeout or InferenceFailed.
        """
        check_tokens(len(masks) * len(self._ids), len(masks), self._max_tokens)
        if self._with_attention and not self._attention.size:
            self._attention = await self._read_attention()
        last = np.ones((len(masks), 1), dtype=bool)
        kept = np.repeat(np.concatenate([masks, last], axis=1), self._sizes, axis=1)
        if self._unknown is not None:
            rows: list[list[int]] = np.where(kept, self._ids, self._unknown).tolist()
            kept = np.ones_like(kept)
        else:
            rows = [self._ids[row].tolist() for row in kept]
        requests = [greedy_request(row, 0) for row in rows]
        results = await self._generator.scheduler.submit(requests)
        log_probs = np.zeros(kept.shape)
        for row, result in enumerate(results):
            budget.check()
            log_probs[row, np.flatnonzero(kept[row])[1:]] = result.completion.prompt_log_probs
        return self._output.sums(log_probs[:, -len(self._output.token_ids) :])

    async def _read_attention(self) -> Floats:
        """Attention that each unit of the output pays to each unit of the past, [T, U].

        A network returns the attention of the tokens that it generates: each beginning of the text is a request for
        one token. A row is 0 where the network ends the text.
        """
        first = len(self._ids) - len(self._output.token_ids)
        names = outputs_for("summary", self._generator.manifest.attention)
        attention = frozenset(output.output for output in names)
        requests = [
            greedy_request(self._ids[:end].tolist(), 1, "summary", attention) for end in range(first, len(self._ids))
        ]
        weights = np.zeros((len(requests), len(self._ids)))
        for row, result in enumerate(await self._generator.scheduler.submit(requests)):
            if result.attention:
                weights[row, : first + row] = result.attention[0].weights[0]
        starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        by_unit = np.add.reduceat(weights, starts, axis=1)[:, :-1]
        return self._output.sums(by_unit.T).T / self._output.sizes[:, None]


def check_tokens(tokens: int, inputs: int, limit: int) -> None:
    """Raises TooManyTokens if some inputs have more tokens than the limit, those of the output included."""
    if tokens > limit:
        raise TooManyTokens(
            f"{inputs} changed inputs with {tokens} tokens; the limit is {limit} (LIMELIGHT_MAX_REQUEST_TOKENS); "
            "send a shorter text or output, or fewer methods or random orders"
        )
