"""POST /generate."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api import events
from service.api.body import JSON, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, responses
from service.api.responses import FastJSON, documented, encoding_of, respond
from service.handlers import generate as handler
from service.handlers.schemas import GenerateRequest, GenerateResponse

router = APIRouter(tags=["generate"])
EVENTS = events.documented("A `token` event for each token, then `done`.")
PROMPT_ERRORS = ("empty_text", "text_too_long", "too_many_tokens", "unsupported_option")


@router.post(
    "/generate",
    summary="Continue a prompt, with the log-probability of each token",
    response_class=FastJSON,
    responses={
        200: {"model": GenerateResponse, "content": {**documented("GenerateResponse"), **EVENTS}},
        **responses("/generate", *BODY_ERRORS, *PROMPT_ERRORS, *MODEL_ERRORS),
    },
    openapi_extra=request_body(GenerateRequest, JSON),
)
async def generate(request: Request) -> Response:
    """A language model continues the prompt token by token. The same `seed` generates the same text again, and
    `temperature` 0 always takes the likeliest token. Every token has its log-probability, those of the prompt included:
    with `max_tokens` 0 the prompt is only scored. Models with attention return their attention weights.

    `Accept: text/event-stream` gets each token as it is generated (`event: token`), and then the whole answer
    (`event: done`).
    """
    state = request.app.state
    body = await parse_body(request, GenerateRequest, state.settings.max_body_bytes)
    encoding = encoding_of(request)

    if events.wants_events(request):
        return await events.stream(request, lambda emit: handler.generate(body, state.registry, state.settings, emit))
    answer = await handler.generate(body, state.registry, state.settings)
    return await respond(request, answer, encoding)
