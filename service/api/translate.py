"""POST /translate: a superset of LibreTranslate's."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api import events
from service.api.body import FORM, JSON, MULTIPART, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, responses
from service.api.responses import FastJSON, accepted, content_response, documented, encoding_of, respond
from service.handlers import translate as handler
from service.handlers.alignment import translate_with_alignment
from service.handlers.schemas import TranslateRequest, TranslateResponse

router = APIRouter(tags=["translate"])

LIBRETRANSLATE_ERRORS = ("missing_parameter", "unsupported_language_pair", "unsupported_format")
PHARAOH = "text/x-pharaoh"
"""Media type of links between words in Pharaoh format."""
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
    responses={
        200: {"model": TranslateResponse, "content": {**documented("TranslateResponse"), **EVENTS, PHARAOH: {}}},
        **ERRORS,
    },
    openapi_extra=request_body(TranslateRequest, JSON, FORM, MULTIPART),
)
async def translate(request: Request) -> Response:
    """A text is split into sentences, each sentence is translated, and the translations are joined with the white space
    between them kept. Clients of LibreTranslate work unchanged. Besides `translatedText`, every sentence has its tokens
    and the attention from target to source. Placeholders, addresses and, with `format: html`, markup are kept.

    `Accept: text/event-stream` gets each sentence as soon as it is translated (`event: sentence`), with `beam_size` 1
    also each token (`event: token`), and then the whole answer (`event: done`). `Accept: text/x-pharaoh` gets only the
    links between words: a line per sentence with `source-target` pairs, numbered from 0 like words of `attention_unit`.
    """
    state = request.app.state
    body = await parse_body(request, TranslateRequest, state.settings.max_body_bytes, form=True)
    encoding = encoding_of(request)

    if any(media_type == PHARAOH for media_type, _ in accepted(request)):
        aligned = await translate_with_alignment(body, state.registry, state.settings)
        return content_response(aligned.pharaoh().encode(), f"{PHARAOH}; charset=utf-8")
    translate = translate_with_alignment if body.alignment else handler.translate
    if events.wants_events(request):
        return await events.stream(request, lambda emit: translate(body, state.registry, state.settings, emit))
    answer = await translate(body, state.registry, state.settings)
    return await respond(request, answer, encoding)
