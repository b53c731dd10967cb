"""Routes of LibreTranslate besides /translate: GET /languages, POST /detect, GET /frontend/settings, GET /spec."""

from typing import Any

from fastapi import APIRouter, Request

from service.api.body import FORM, JSON, MULTIPART, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import BODY_ERRORS, responses
from service.documents.formats import READERS
from service.handlers import languages as handler
from service.handlers.languages import name_of
from service.handlers.operation_schemas import FrontendSettings
from service.handlers.schemas import Detection, DetectRequest, Language

router = APIRouter(tags=["translate"])


@router.get("/languages", summary="Languages and their targets")
async def languages(registry: RegistryOf) -> list[Language]:
    return handler.languages(registry)


@router.post(
    "/detect",
    summary="Detect the language of a text",
    responses=responses("/detect", "missing_parameter", *BODY_ERRORS, "text_too_long", "batch_too_large"),
    openapi_extra=request_body(DetectRequest, JSON, FORM, MULTIPART),
)
async def detect_language(
    request: Request, registry: RegistryOf, settings: SettingsOf
) -> list[Detection] | list[list[Detection]]:
    """The likeliest languages of `q`, best first; for a list, those of each text."""
    body = await parse_body(request, DetectRequest, settings.max_body_bytes, form=True)
    return await handler.detect_languages(body, registry, settings)


@router.get("/frontend/settings", summary="Settings for a translation page")
async def frontend_settings(registry: RegistryOf, settings: SettingsOf) -> FrontendSettings:
    pairs = sorted(registry.pairs())
    source, target = pairs[0] if pairs else ("auto", "en")
    return FrontendSettings.model_validate(
        {
            "charLimit": settings.max_characters,
            "filesTranslation": settings.processes == 1,
            "supportedFilesFormat": [f".{extension}" for extension in READERS] if settings.processes == 1 else [],
            "language": {
                "source": {"code": source, "name": name_of(source)},
                "target": {"code": target, "name": name_of(target)},
            },
        }
    )


@router.get("/spec", summary="OpenAPI document, at LibreTranslate's path")
async def spec(request: Request) -> dict[str, Any]:
    document: dict[str, Any] = request.app.openapi()
    return document
