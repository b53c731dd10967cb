"""POST /translate: a superset of LibreTranslate's."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api import events
from service.api.body import FORM, JSON, MULTIPART, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, responses
from service.api.responses import FastJSON, documented, encoding_of, respond
from service.handlers import translate as handler
from service.handlers.schemas import TranslateRequest, TranslateResponse

router = APIRouter(tags=["translate"])

LIBRETRANSLATE_ERRORS = ("missing_parameter", "unsupported_language_pair", "unsupported_format")
EVENTS = events.documented("`token` and `sentence` events, then `done`.")
ERRORS = responses(
    "/translate",
    *LIBRETRANSLATE_ERRORS,
    *BODY_ERRORS,
    *TEXT_ERRORS,
    "unsupported_option",
    "glossary_not_found",
    "memory_not_found",
    "not_available",
    *MODEL_ERRORS,
)


@router.post(
    "/translate",
    summary="Translate texts, with the alignment behind each sentence",
    response_class=FastJSON,
    responses={200: {"model": TranslateResponse, "content": {**documented("TranslateResponse"), **EVENTS}}, **ERRORS},
    openapi_extra=request_body(TranslateRequest, JSON, FORM, MULTIPART),
)
async def translate(request: Request) -> Response:
    """A text is split into sentences, each sentence is translated, and the translations are joined with the white space
    between them kept. Clients of LibreTranslate work unchanged. Besides `translatedText`, every sentence has its tokens
    and the attention from target to source. Placeholders, addresses and, with `format: html`, markup are kept.

    `Accept: text/event-stream` gets each sentence as soon as it is translated (`event: sentence`), with `beam_size` 1
    also each token (`event: token`), and then the whole answer (`event: done`).
    """
    state = request.app.state
    body = await parse_body(request, TranslateRequest, state.settings.max_body_bytes, form=True)
    encoding = encoding_of(request)

    if events.wants_events(request):
        return await events.stream(request, lambda emit: handler.translate(body, state.registry, state.settings, emit))
    answer = await handler.translate(body, state.registry, state.settings)
    return await respond(request, answer, encoding)
