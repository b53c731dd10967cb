"""POST /generate."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api import events
from service.api.body import JSON, parse_body, request_body
from service.api.errors import OF_A_BODY, OF_A_MODEL, responses
from service.api.events import Events, wants_events
from service.api.middleware.limits import check_texts
from service.attention import significant
from service.generation.generator import Generation, Generator, SamplingParams, TokenEvent, TokenLogprob
from service.handlers.encoding import AS_JSON, Encoding, FastJSON, documented, encoding_of, rounded
from service.handlers.schemas import GenerateRequest, GenerateResponse
from service.observability import timed
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(tags=["generate"])
EVENTS = events.documented("A `token` event for each token, then `done`.")
OF_A_PROMPT = ("empty_text", "text_too_long", "too_many_tokens", "unsupported_option")


@router.post(
    "/generate",
    summary="Write a text on, with how sure the model was of each token",
    response_class=FastJSON,
    responses={
        200: {"model": GenerateResponse, "content": {**documented("GenerateResponse"), **EVENTS}},
        **responses("/generate", *OF_A_BODY, *OF_A_PROMPT, *OF_A_MODEL),
    },
    openapi_extra=request_body(GenerateRequest, JSON),
)
async def generate(request: Request) -> Response:
    """A language model writes on behind the prompt, token by token; the same `seed` writes the same text again, and
    `temperature` 0 always takes the likeliest token. Every token comes with its log-probability, those of the prompt
    too: `max_tokens` 0 only reads. Models that look back at what they read return where they looked.

    `Accept: text/event-stream` gets each token as it is written (`event: token`), and then the whole answer
    (`event: done`).
    """
    settings: Settings = request.app.state.settings
    registry: Registry = request.app.state.registry
    body = await parse_body(request, GenerateRequest, settings.max_body_bytes)
    encoding = encoding_of(request)
    [prompt] = check_texts("prompt", body.prompt, settings)
    generator = registry.generator(body.model, body.version)
    manner = sampling_params(body)
    if wants_events(request):
        return await stream(generator, prompt, manner).response(request)
    generation = await generator.generate(prompt, manner)
    await request.app.state.turn()
    with timed(generator.manifest.name, "encode"):
        return encoding.response(encode(generator, generation, encoding))


def sampling_params(body: GenerateRequest) -> SamplingParams:
    return SamplingParams(
        body.max_tokens,
        body.temperature,
        body.top_k,
        body.top_p,
        body.repetition_penalty,
        body.seed,
        [body.stop] if isinstance(body.stop, str) else body.stop,
        body.attention,
    )


def stream(generator: Generator, prompt: str, manner: SamplingParams) -> Events:
    """The tokens as they are written."""
    found: list[Generation] = []

    def heard(spoken: TokenEvent) -> None:
        weights = None if spoken.weights is None else significant(spoken.weights)
        answer.tell("token", {**likely(spoken.token), "weights": weights})

    async def write() -> None:
        found.append(await generator.generate(prompt, manner, heard))

    answer = Events(lambda: encode(generator, found[0], AS_JSON))
    answer.run(write())
    return answer


def encode(generator: Generator, generation: Generation, encoding: Encoding) -> dict[str, Any]:
    return {
        "model": generator.manifest.name,
        "version": str(generator.manifest.version),
        "text": generation.text,
        "prompt_tokens": [likely(token) for token in generation.prompt_tokens],
        "tokens": [likely(token) for token in generation.tokens],
        "finish_reason": generation.finish_reason,
        "seed": generation.seed,
        "attention": [encoding.attention(matrix) for matrix in generation.attention],
    }


def likely(token: TokenLogprob) -> dict[str, Any]:
    log_prob = None if token.log_prob is None else rounded(token.log_prob)
    return {"text": token.text, "start": token.start, "end": token.end, "logprob": log_prob}
