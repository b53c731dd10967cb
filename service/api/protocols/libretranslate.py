"""What LibreTranslate's clients ask besides /translate: GET /languages, POST /detect, GET /frontend/settings, /spec."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from service.api.body import FORM, JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import OF_A_BODY, responses
from service.api.middleware.limits import check_texts
from service.errors import MissingParameter
from service.handlers.schemas import Detection, DetectRequest, FrontendSettings, Language
from service.text.detection import Guess, detect

router = APIRouter(tags=["translate"])

NAMES = {"en": "English", "fr": "French", "de": "German", "cs": "Czech", "ko": "Korean"}

SHOWN = 3
"""How many guesses are told of a text."""


@router.get("/languages", summary="Which languages can be translated into which")
async def languages(registry: RegistryOf) -> list[Language]:
    targets: dict[str, list[str]] = {}
    for source, target in sorted(registry.pairs()):
        targets.setdefault(source, []).append(target)
    return [Language(code=code, name=NAMES.get(code, code), targets=to) for code, to in targets.items()]


@router.post(
    "/detect",
    summary="Which language a text is in",
    responses=responses("/detect", "missing_parameter", *OF_A_BODY, "text_too_long", "batch_too_large"),
    openapi_extra=request_body(DetectRequest, JSON, FORM),
)
async def detect_language(request: Request, settings: SettingsOf) -> list[Detection] | list[list[Detection]]:
    """The likeliest languages of `q`, best first; of a list, those of each text."""
    body = await parse_body(request, DetectRequest, settings.max_body_bytes, form=True)
    if body.q is None:
        raise MissingParameter("Invalid request: missing q parameter")
    texts = check_texts("q", body.q, settings)
    found = await asyncio.to_thread(lambda: [[told(guess) for guess in detect(text)[:SHOWN]] for text in texts])
    return found[0] if isinstance(body.q, str) else found


def told(guess: Guess) -> Detection:
    return Detection(language=guess.language, confidence=round(100 * guess.confidence, 1))


@router.get("/frontend/settings", summary="What a page may ask for")
async def frontend_settings(registry: RegistryOf, settings: SettingsOf) -> FrontendSettings:
    pairs = sorted(registry.pairs())
    source, target = pairs[0] if pairs else ("auto", "en")
    return FrontendSettings.model_validate(
        {
            "charLimit": settings.max_characters,
            "language": {
                "source": {"code": source, "name": NAMES.get(source, source)},
                "target": {"code": target, "name": NAMES.get(target, target)},
            },
        }
    )


@router.get("/spec", summary="This interface, where LibreTranslate has its own")
async def spec(request: Request) -> dict[str, Any]:
    document: dict[str, Any] = request.app.openapi()
    return document
