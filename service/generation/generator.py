"""The generator: a prompt -> what a language model writes behind it, token by token, and how sure it was of each."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from service import observability
from service.attention import AttentionDetail, AttentionMatrix, outputs_for
from service.batching.scheduler import Limits, Scheduler
from service.bundle.manifest import Manifest
from service.decoding.sampling import Completion, FinishReason, SamplingRequest
from service.errors import EmptyText, TextTooLong, UnsupportedOption
from service.generation.engine import CompletionRequest, NewToken, Sampled, Sampler
from service.runtime import Runtime
from service.text.tokenizer import Encoded, TextTokenizer, run_in_thread_if_long

MOST_WEIGHTS = 2_000_000
"""Of one answer's attention: more is tens of megabytes."""


@dataclass(frozen=True)
class SamplingParams:
    """How to write on; `decoding.sampling.SamplingRequest` says more of each."""

    max_tokens: int = 200
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    """None: another each time."""
    stop: Sequence[str] = ()
    """Strings that end the text, and are not part of it."""
    attention: AttentionDetail = "summary"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its part of the text, and how likely it was."""

    text: str
    start: int
    end: int
    log_prob: float | None
    """None: nothing stood before it."""


@dataclass(frozen=True)
class Generation:
    text: str
    """What was written, without the prompt."""
    prompt_tokens: list[TokenLogprob]
    tokens: list[TokenLogprob]
    """With spans into `text`."""
    finish_reason: FinishReason
    seed: int
    """With which the same is written again."""
    attention: list[AttentionMatrix]
    """Row i is the step that chose token i, column j the j-th of the prompt's tokens and then of those written."""


@dataclass(frozen=True)
class TokenEvent:
    """A token as soon as it is written."""

    token: TokenLogprob
    weights: NDArray[Any] | None
    """Its row of the summary; None where no attention is wanted."""


class Stops:
    """Whether a text that is told token by token has come to one of some strings."""

    def __init__(self, strings: Sequence[str], speak: Callable[[int], str]):
        self._strings = strings
        self._speak = speak
        self._longest = max(map(len, strings))
        self._tail = ""

    def __call__(self, token_id: int) -> bool:
        self._tail += self._speak(token_id)
        found = any(string in self._tail for string in self._strings)
        self._tail = self._tail[-self._longest :]
        return found


def cut(text: str, strings: Sequence[str]) -> int:
    """Where the first of the strings begins in a text, or its length.

    >>> cut("one. two. three", [". t", " three"])
    3
    """
    places = [place for place in (text.find(string) for string in strings) if place >= 0]
    return min(places, default=len(text))


def certain(text: str, strings: Sequence[str]) -> int:
    """How much of a text that goes on cannot be the beginning of one of the strings.

    >>> certain("one two", ["two three"])
    4
    """
    beginnings = (string[:n] for string in strings for n in range(1, len(string)))
    return len(text) - max((len(b) for b in beginnings if text.endswith(b)), default=0)


class Generator:
    """A loaded language model. Raises BundleError where it cannot be loaded."""

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime, limits: Limits):
        assert manifest.limits.max_target_tokens  # the manifest checked itself
        self.manifest = manifest
        self.max_tokens = manifest.limits.max_target_tokens
        self._tokenizer = TextTokenizer(folder / manifest.tokenizers["text"])
        step = runtime.open(folder, manifest, "step")
        self.precision = step.graph.precision
        engines = [Sampler(manifest, step, self._tokenizer.size) for _ in range(step.at_once)]
        self._scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        self._scheduler.close()

    async def generate(
        self,
        prompt: str,
        manner: SamplingParams,
        heard: Callable[[TokenEvent], None] | None = None,
    ) -> Generation:
        """Write a prompt on. `heard` is called with each token of the text as soon as it is sure to be part of it.

        Raises EmptyText, TextTooLong, UnsupportedOption, Overloaded or InferenceFailed.
        """
        told: list[TokenEvent] = []

        def tell(spoken: TokenEvent) -> None:
            if heard is not None:
                told.append(spoken)
                heard(spoken)

        encoded, work = await self._prepare(prompt, manner, heard is not None)
        listener = None if heard is None else self._listener(encoded.ids, manner, tell)
        [sampled] = await self._scheduler.submit([work], listener)
        generation = self._generation(encoded, work, manner, sampled)
        summary = [m.weights for m in generation.attention if manner.attention == "summary"]
        for place in range(len(told), len(generation.tokens)):  # what might have begun a stop string, and did not
            seen = len(generation.prompt_tokens) + place
            tell(TokenEvent(generation.tokens[place], summary[0][place, :seen] if summary else None))
        return generation

    async def generate_all(self, prompts: Sequence[str], manner: SamplingParams) -> list[Generation]:
        """Write several prompts on, side by side. Raises as `generate`; nothing runs unless every prompt can."""
        prepared = [await self._prepare(prompt, manner) for prompt in prompts]
        results = await self._scheduler.submit([work for _, work in prepared])
        return [self._generation(*one, manner, sampled) for one, sampled in zip(prepared, results, strict=True)]

    async def _prepare(
        self, prompt: str, manner: SamplingParams, heard: bool = False
    ) -> tuple[Encoded, CompletionRequest]:
        with observability.timed(self.manifest.name, "tokenise"):
            encoded = await run_in_thread_if_long([prompt], lambda: self._tokenizer.encode(prompt))
        self._check(encoded, manner)
        draw = SamplingRequest(
            encoded.ids,
            manner.max_tokens,
            manner.temperature,
            manner.top_k,
            manner.top_p,
            manner.repetition_penalty,
            # 53 bits: a seed that was drawn is a number in every language a caller may speak.
            secrets.randbits(53) if manner.seed is None else manner.seed,
            Stops(manner.stop, self._tokenizer.speaker(encoded.ids)) if manner.stop else None,
            frozenset(output.output for output in outputs_for(manner.attention, self.manifest.attention)),
        )
        return encoded, CompletionRequest(draw, manner.attention, heard)

    def _generation(
        self, encoded: Encoded, work: CompletionRequest, manner: SamplingParams, sampled: Sampled
    ) -> Generation:
        """What was sampled, without the string that stopped it."""
        written = sampled.written
        observability.observe_tokens(self.manifest.name, written=len(written.token_ids))
        text, tokens = self._tokens(encoded.ids, written)
        end = cut(text, manner.stop)
        kept = [token for token in tokens if token.start < end or token.start == token.end == end]
        if kept and kept[-1].end > end:
            last = kept[-1]
            kept[-1] = TokenLogprob(text[last.start : end], last.start, end, last.log_prob)
        prompt_tokens = [
            TokenLogprob(token.text, token.start, token.end, log_prob)
            for token, log_prob in zip(encoded.tokens, [None, *written.prompt_log_probs], strict=False)
        ]
        columns = len(prompt_tokens) + len(kept) - 1
        attention = [
            AttentionMatrix(m.kind, m.layer, m.head, m.weights[: len(kept), :columns])
            for m in sampled.attention
            if kept
        ]
        return Generation(text[:end], prompt_tokens, kept, written.finish_reason, work.draw.seed, attention)

    def _check(self, encoded: Encoded, manner: SamplingParams) -> None:
        name, most = self.manifest.name, self.manifest.limits.max_tokens
        if not encoded.ids:
            raise EmptyText("prompt is empty: give the text something to begin with")
        if len(encoded.ids) > most:
            raise TextTooLong(
                f"prompt has {len(encoded.ids)} tokens, {name} reads up to {most}; send the end of it only"
            )
        if manner.max_tokens > self.max_tokens:
            raise UnsupportedOption(f"Invalid request: max_tokens parameter must be <= {self.max_tokens} for {name}")
        wanted = outputs_for(manner.attention, self.manifest.attention)
        matrices = sum((output.heads or 1) if manner.attention == "full" else 1 for output in wanted)
        weights = matrices * manner.max_tokens * (len(encoded.ids) + manner.max_tokens)
        if weights > MOST_WEIGHTS:
            raise UnsupportedOption(
                f"{matrices} attention matrices of {manner.max_tokens} x {len(encoded.ids) + manner.max_tokens} are "
                f'more than {MOST_WEIGHTS:,} weights; ask for fewer tokens, or for "attention": "none"'
            )

    def _tokens(self, prompt: Sequence[int], written: Completion) -> tuple[str, list[TokenLogprob]]:
        """The text that was written behind a prompt, and each token's part of it, laid end to end."""
        text, tokens, speak = "", [], self._tokenizer.speaker(prompt)
        for token_id, log_prob in zip(written.token_ids, written.log_probs, strict=True):
            surface = speak(token_id)
            tokens.append(TokenLogprob(surface, len(text), len(text) + len(surface), log_prob))
            text += surface
        return text, tokens

    def _listener(
        self, prompt: Sequence[int], manner: SamplingParams, heard: Callable[[TokenEvent], None]
    ) -> Callable[[int, NewToken], None]:
        """What the scheduler tells, as tokens of the text; what may begin a stop string waits until it does not."""
        speak, text = self._tokenizer.speaker(prompt), ""
        waiting: list[TokenEvent] = []

        def listen(_place: int, said: NewToken) -> None:
            nonlocal text, waiting
            surface = speak(said.token_id)
            start, text = len(text), text + surface
            waiting.append(TokenEvent(TokenLogprob(surface, start, len(text), said.log_prob), said.weights))
            sure = min(certain(text, manner.stop), cut(text, manner.stop))
            for spoken in waiting:
                if spoken.token.end <= sure:
                    heard(spoken)
            waiting = [spoken for spoken in waiting if spoken.token.end > sure]

        return listen

    async def golden(self, case: dict[str, Any]) -> dict[str, Any]:
        """This bundle's answer to a golden case, in the form golden.json holds it."""
        found = await self.generate(case["text"], SamplingParams(case["max_tokens"], temperature=0))
        weights = [matrix.weights.tolist() for matrix in found.attention]
        return {
            "text": found.text,
            "log_prob": sum(token.log_prob or 0.0 for token in found.tokens),
            "attention": weights[0] if weights else None,
        }
