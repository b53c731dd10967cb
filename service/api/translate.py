"""POST /translate: a superset of LibreTranslate's."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api import events
from service.api.body import FORM, JSON, parse_body, request_body
from service.api.errors import OF_A_BODY, OF_A_MODEL, OF_TEXTS, responses
from service.api.events import wants_events
from service.api.middleware.limits import check_texts
from service.api.streaming import stream
from service.handlers.encoding import FastJSON, documented, encoding_of
from service.handlers.schemas import TranslateRequest, TranslateResponse
from service.handlers.translate import answered, asked, required
from service.observability import timed
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(tags=["translate"])

LIBRETRANSLATES = ("missing_parameter", "unsupported_language_pair", "unsupported_format")
EVENTS = events.documented("`token` and `sentence` events, then `done`.")
ERRORS = responses("/translate", *LIBRETRANSLATES, *OF_A_BODY, *OF_TEXTS, "unsupported_option", *OF_A_MODEL)


@router.post(
    "/translate",
    summary="Translate texts, with the alignment behind each sentence",
    response_class=FastJSON,
    responses={200: {"model": TranslateResponse, "content": {**documented("TranslateResponse"), **EVENTS}}, **ERRORS},
    openapi_extra=request_body(TranslateRequest, JSON, FORM),
)
async def translate(request: Request) -> Response:
    """The text is split into sentences, each is translated, and they are joined with the white space between them
    kept. Clients of LibreTranslate work unchanged; beside `translatedText` every sentence has its tokens and the
    attention from target to source. Placeholders, addresses and, with `format: html`, markup are kept.

    `Accept: text/event-stream` gets each sentence as soon as it is translated (`event: sentence`), with `beam_size` 1
    each token as it is said (`event: token`), and then the whole answer (`event: done`).
    """
    settings: Settings = request.app.state.settings
    registry: Registry = request.app.state.registry
    body = await parse_body(request, TranslateRequest, settings.max_body_bytes, form=True)
    encoding = encoding_of(request)
    texts = check_texts("q", required(body), settings)
    question = await asked(body, texts, registry)
    if wants_events(request):
        return await stream(request, question)
    translations = await answered(question)
    await request.app.state.turn()
    with timed(question.model, "encode"):
        return encoding.response(question.answer(translations, encoding))
