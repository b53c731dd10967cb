"""Continue prompts: a request -> generated text with the log-probability of each token, or `token` events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.attention import significant
from service.bundle.manifest import Manifest
from service.generation.generator import Generation, SamplingParams, TokenEvent, TokenLogprob
from service.handlers.encoding import Emit, Encoding, rounded, weights_in
from service.handlers.schemas import GenerateRequest
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings


@dataclass(frozen=True)
class GenerationAnswer:
    """The answer to a request with one prompt."""

    manifest: Manifest
    generation: Generation

    @property
    def model(self) -> str:
        return self.manifest.name

    @property
    def size(self) -> int:
        generation = self.generation
        return len(generation.prompt_tokens) + len(generation.tokens) + weights_in(generation.attention)

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        generation = self.generation
        return {
            "model": self.manifest.name,
            "version": str(self.manifest.version),
            "text": generation.text,
            "prompt_tokens": [logprob(token) for token in generation.prompt_tokens],
            "tokens": [logprob(token) for token in generation.tokens],
            "finish_reason": generation.finish_reason,
            "seed": generation.seed,
            "attention": [encoding.attention(matrix) for matrix in generation.attention],
        }


async def generate(
    request: GenerateRequest, registry: Registry, settings: Settings, emit: Emit | None = None
) -> GenerationAnswer:
    """Continue the prompt of a request. `emit` is called with a `token` event for each token as it is generated.

    Raises InvalidInput, ModelNotFound, ModelNotReady, Overloaded or InferenceFailed.
    """
    [prompt] = check_texts(request.prompt, settings)
    generator = registry.generator(request.model, request.version)
    on_token = None if emit is None else token_events(emit)
    return GenerationAnswer(generator.manifest, await generator.generate(prompt, sampling_params(request), on_token))


async def generate_all(
    prompts: list[str], request: GenerateRequest, registry: Registry, settings: Settings
) -> list[Generation]:
    """Continue several prompts with the options of one request; its own prompt is ignored. Raises as `generate`."""
    check_texts(prompts, settings)
    generator = registry.generator(request.model, request.version)
    return await generator.generate_all(prompts, sampling_params(request))


def sampling_params(request: GenerateRequest) -> SamplingParams:
    return SamplingParams(
        request.max_tokens,
        request.temperature,
        request.top_k,
        request.top_p,
        request.repetition_penalty,
        request.seed,
        [request.stop] if isinstance(request.stop, str) else request.stop,
        request.attention,
    )


def token_events(emit: Emit) -> Callable[[TokenEvent], None]:
    """A listener that emits each token with its row of the summary."""

    def on_token(event: TokenEvent) -> None:
        weights = None if event.weights is None else significant(event.weights)
        emit("token", {**logprob(event.token), "weights": weights})

    return on_token


def logprob(token: TokenLogprob) -> dict[str, Any]:
    """A token in the form of `schemas.LikelyToken`."""
    log_prob = None if token.log_prob is None else rounded(token.log_prob)
    return {"text": token.text, "start": token.start, "end": token.end, "logprob": log_prob}
