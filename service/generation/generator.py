"""The generator: a prompt -> a completion, with the log-probability and attention of each token."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from service import observability
from service.attention import AttentionDetail, AttentionMatrix, check_weights, outputs_for
from service.batching.offload import run_in_thread_if_long
from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import Bundle
from service.bundle.golden import GenerationAnswer, GenerationCase
from service.bundle.manifest import GenerationManifest
from service.decoding.sampling import Completion, FinishReason, SamplingRequest
from service.errors import EmptyText, TextTooLong, UnsupportedOption
from service.generation.engine import CompletionRequest, CompletionResult, GenerationEngine, NewToken
from service.generation.stop_strings import StopDetector, find_stop, safe_length
from service.runtime import Runtime
from service.text.tokenizer import Encoded, TextTokenizer, token_count

MAX_ATTENTION_WEIGHTS = 2_000_000
"""Maximum attention weights in one answer, which is tens of megabytes of JSON."""


@dataclass(frozen=True)
class SamplingParams:
    """Sampling parameters. `decoding.sampling.SamplingRequest` documents those without a docstring."""

    max_tokens: int = 200
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    """None draws a random seed."""
    stop: Sequence[str] = ()
    """Stop strings. They are not part of the text."""
    attention: AttentionDetail = "summary"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token with its span and log-probability."""

    text: str
    start: int
    end: int
    log_prob: float | None
    """None for the first token of the prompt."""


@dataclass(frozen=True)
class Generation:
    """A generated text."""

    text: str
    """Without the prompt."""
    prompt_tokens: list[TokenLogprob]
    """Their spans are offsets into the prompt."""
    tokens: list[TokenLogprob]
    """Their spans are offsets into `text`."""
    finish_reason: FinishReason
    seed: int
    """Seed that reproduces the text."""
    attention: list[AttentionMatrix]
    """Row i belongs to the step that generated token i. Columns are the prompt tokens, then the generated tokens."""


@dataclass(frozen=True)
class TokenEvent:
    """A generated token, streamed."""

    token: TokenLogprob
    weights: NDArray[Any] | None
    """Row of the summary attention. None if no attention is requested."""


class Generator:
    """A loaded language model. Raises BundleError if it cannot be loaded."""

    def __init__(self, bundle: Bundle[GenerationManifest], runtime: Runtime, limits: Limits):
        manifest = bundle.manifest
        self.manifest = manifest
        self.max_tokens = manifest.limits.max_target_tokens
        self.tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["text"]])
        step = runtime.open(bundle, "step")
        self.precision = step.graph.precision
        engines = [GenerationEngine(manifest, step, self.tokenizer.size) for _ in range(step.concurrency)]
        self._answer_weights = limits.answer_weights
        self.scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        """Stop the workers."""
        self.scheduler.close()

    async def generate(
        self,
        prompt: str,
        params: SamplingParams,
        on_token: Callable[[TokenEvent], None] | None = None,
    ) -> Generation:
        """Continue a prompt. `on_token` is called with each token as soon as it cannot be part of a stop string.

        Raises EmptyText, TextTooLong, UnsupportedOption, Overloaded or InferenceFailed.
        """
        num_streamed = 0

        def stream(event: TokenEvent) -> None:
            nonlocal num_streamed
            if on_token is not None:
                num_streamed += 1
                on_token(event)

        encoded, request = await self._prepare(prompt, params, on_token is not None)
        on_new_token = None if on_token is None else self._stream_decoder(encoded.ids, params, stream)
        [result] = await self.scheduler.submit([request], on_new_token)
        generation = self._generation(encoded, request, params, result)
        summary = [m.weights for m in generation.attention if params.attention == "summary"]
        # Tokens that were held back because they might have begun a stop string.
        for position in range(num_streamed, len(generation.tokens)):
            keys = len(generation.prompt_tokens) + position
            stream(TokenEvent(generation.tokens[position], summary[0][position, :keys] if summary else None))
        return generation

    async def generate_all(self, prompts: Sequence[str], params: SamplingParams) -> list[Generation]:
        """Continue several prompts in one batch. Raises as `generate`; if one prompt is invalid, none is run."""
        prepared = [await self._prepare(prompt, params) for prompt in prompts]
        check_weights(sum(self._weights(encoded, params) for encoded, _ in prepared), self._answer_weights)
        results = await self.scheduler.submit([request for _, request in prepared])
        return [
            self._generation(encoded, request, params, result)
            for (encoded, request), result in zip(prepared, results, strict=True)
        ]

    async def _prepare(
        self, prompt: str, params: SamplingParams, streams: bool = False
    ) -> tuple[Encoded, CompletionRequest]:
        """Tokenise and check a prompt."""
        with observability.timed(self.manifest.name, "tokenise"):
            encoded = await run_in_thread_if_long(
                [prompt], lambda: self.tokenizer.encode_beginning(prompt, self.manifest.limits.max_tokens)
            )
        self._check(encoded, params)
        sampling = SamplingRequest(
            encoded.ids,
            params.max_tokens,
            params.temperature,
            params.top_k,
            params.top_p,
            params.repetition_penalty,
            # 53 bits, because JavaScript clients read numbers as doubles.
            secrets.randbits(53) if params.seed is None else params.seed,
            StopDetector(params.stop, self.tokenizer.stream_decoder(encoded.ids)) if params.stop else None,
            frozenset(output.output for output in outputs_for(params.attention, self.manifest.attention)),
        )
        return encoded, CompletionRequest(sampling, params.attention, streams)

    def _check(self, encoded: Encoded, params: SamplingParams) -> None:
        """Raise EmptyText, TextTooLong or UnsupportedOption if a limit is exceeded."""
        name, max_prompt = self.manifest.name, self.manifest.limits.max_tokens
        if not encoded.ids:
            raise EmptyText("prompt is empty: give the text something to begin with")
        if len(encoded.ids) > max_prompt:
            raise TextTooLong(
                f"prompt has {token_count(encoded, max_prompt)} tokens, {name} reads up to {max_prompt}; "
                "send the end of it only"
            )
        if params.max_tokens > self.max_tokens:
            raise UnsupportedOption(f"Invalid request: max_tokens parameter must be <= {self.max_tokens} for {name}")
        if self._weights(encoded, params) > MAX_ATTENTION_WEIGHTS:
            raise UnsupportedOption(
                f"{self._matrices(params)} attention matrices of {params.max_tokens} x "
                f"{len(encoded.ids) + params.max_tokens} are more than {MAX_ATTENTION_WEIGHTS:,} weights; "
                'ask for fewer tokens, or for "attention": "none"'
            )

    def _matrices(self, params: SamplingParams) -> int:
        """Return the number of attention matrices in an answer."""
        outputs = outputs_for(params.attention, self.manifest.attention)
        return sum((output.heads or 1) if params.attention == "full" else 1 for output in outputs)

    def _weights(self, encoded: Encoded, params: SamplingParams) -> int:
        """Return the number of attention weights in an answer of `max_tokens` tokens."""
        return self._matrices(params) * params.max_tokens * (len(encoded.ids) + params.max_tokens)

    def _generation(
        self, encoded: Encoded, request: CompletionRequest, params: SamplingParams, result: CompletionResult
    ) -> Generation:
        """Decode a completion and cut it at the first stop string."""
        completion = result.completion
        observability.observe_tokens(self.manifest.name, written=len(completion.token_ids))
        text, tokens = self._decode(encoded.ids, completion)
        end = find_stop(text, params.stop)
        kept = [token for token in tokens if token.start < end or token.start == token.end == end]
        if kept and kept[-1].end > end:
            last = kept[-1]
            kept[-1] = TokenLogprob(text[last.start : end], last.start, end, last.log_prob)
        prompt_tokens = [
            TokenLogprob(token.text, token.start, token.end, log_prob)
            for token, log_prob in zip(encoded.tokens, [None, *completion.prompt_log_probs], strict=False)
        ]
        columns = len(prompt_tokens) + len(kept) - 1
        attention = [
            AttentionMatrix(m.kind, m.layer, m.head, m.weights[: len(kept), :columns]) for m in result.attention if kept
        ]
        return Generation(text[:end], prompt_tokens, kept, completion.finish_reason, request.sampling.seed, attention)

    def _decode(self, prompt: Sequence[int], completion: Completion) -> tuple[str, list[TokenLogprob]]:
        """Return the text of a completion and its tokens, whose spans cover the text."""
        text, tokens, decode = "", [], self.tokenizer.stream_decoder(prompt)
        for token_id, log_prob in zip(completion.token_ids, completion.log_probs, strict=True):
            surface = decode(token_id)
            tokens.append(TokenLogprob(surface, len(text), len(text) + len(surface), log_prob))
            text += surface
        return text, tokens

    def _stream_decoder(
        self, prompt: Sequence[int], params: SamplingParams, on_token: Callable[[TokenEvent], None]
    ) -> Callable[[int, NewToken], None]:
        """Return a callback for the scheduler that decodes tokens and holds back possible stop strings."""
        decode, text = self.tokenizer.stream_decoder(prompt), ""
        pending: list[TokenEvent] = []

        def on_new_token(_index: int, new: NewToken) -> None:
            nonlocal text, pending
            surface = decode(new.token_id)
            start, text = len(text), text + surface
            pending.append(TokenEvent(TokenLogprob(surface, start, len(text), new.log_prob), new.weights))
            end = min(safe_length(text, params.stop), find_stop(text, params.stop))
            for event in pending:
                if event.token.end <= end:
                    on_token(event)
            pending = [event for event in pending if event.token.end > end]

        return on_new_token

    async def golden(self, case: GenerationCase) -> GenerationAnswer:
        """Return the answer to a case of golden.json, in the same form."""
        found = await self.generate(case.text, SamplingParams(case.max_tokens, temperature=0))
        weights = [matrix.weights.tolist() for matrix in found.attention]
        return GenerationAnswer(
            text=found.text,
            log_prob=sum(token.log_prob or 0.0 for token in found.tokens),
            attention=weights[0] if weights else None,
        )
