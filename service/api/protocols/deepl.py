"""DeepL's protocol, for its clients: texts, languages, usage and documents. Glossaries are in deepl_glossaries.py.

Languages are in capitals, such as EN or PT-BR. Options that mean nothing here are accepted and ignored: formality,
context, model_type, preserve_formatting, outline_detection, splitting_tags and non_splitting_tags.
"""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from service.api.access import admit_by_header
from service.api.body import FORM, JSON, MULTIPART, RegistryOf, SettingsOf, parse_body, request_body
from service.api.documents import DOCUMENT_ERRORS, FILE, FORM_BYTES, document_response, jobs_of, read_upload
from service.api.errors import BODY_ERRORS, CALLER_ERRORS, MODEL_ERRORS, TEXT_ERRORS, responses
from service.api.forms import Fields
from service.errors import MissingParameter, ServiceError, UnsupportedFormat, excerpt
from service.handlers import translate as handler
from service.handlers.document_jobs import Job
from service.handlers.documents import DocumentRequest, Upload
from service.handlers.languages import name_of, reachable
from service.handlers.schemas import TranslateRequest

router = APIRouter(tags=["deepl"])

CHARACTER_LIMIT = 10**12
"""The value in /v2/usage. The service has no limit."""
VARIANTS = {"EN": ("EN-GB", "EN-US"), "PT": ("PT-PT", "PT-BR")}
"""Variants that clients expect as targets."""
NO_TRANSLATION = ' translate="no"'
Side = Literal["source", "target"]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.:-]*$", max_length=100)]


class TextRequest(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "required": ["text", "target_lang"],
            "examples": [{"text": ["Good morning."], "source_lang": "EN", "target_lang": "FR"}],
        }
    )

    text: str | list[str] | None = Field(None, description="The texts to translate. Required.")
    target_lang: str | None = Field(None, description="Language to translate into. Required.")
    source_lang: str | None = Field(None, description="Language of the texts; detected by default.")
    tag_handling: str | None = Field(None, description="`html` or `xml`: tags are kept.")
    ignore_tags: list[Tag] | str = Field([], description="Names of elements that are not translated.")
    split_sentences: str | int | bool = Field("1", description="`nonewlines`: a line break is a space.")
    show_billed_characters: str | int | bool = Field(False, description="Tell the number of characters of each text.")
    model_type: str | None = Field(None, description="Ignored; if present, the answer has `model_type_used`.")
    glossary_id: str | None = Field(None, description="Id of a glossary, or the name of a stored one.")
    formality: str | None = Field(None, description="Ignored: the models have one form of address.")


class TranslatedText(BaseModel):
    detected_source_language: str
    text: str
    billed_characters: int | None = Field(None, description="Present if requested.")
    model_type_used: str | None = Field(None, description="Present if a model type is requested.")


class TextAnswer(BaseModel):
    translations: list[TranslatedText] = Field(description="One per text, in order.")


class LanguagesRequest(BaseModel):
    type: Side = "source"


class DeepLLanguage(BaseModel):
    language: str
    name: str
    supports_formality: bool = False


class Usage(BaseModel):
    character_count: int = Field(description="Characters since the start of the process.")
    character_limit: int


class DocumentHandle(BaseModel):
    document_id: str
    document_key: str


class DocumentKey(BaseModel):
    document_key: str | None = None


class DocumentStatus(BaseModel):
    document_id: str
    status: Literal["queued", "translating", "done", "error"]
    seconds_remaining: int | None = None
    billed_characters: int | None = None
    error_message: str | None = None


@router.post(
    "/v2/translate",
    summary="Translate texts",
    response_model_exclude_none=True,
    responses=responses(
        "/v2/translate",
        *("missing_parameter", "unsupported_language_pair", "unsupported_format"),
        *BODY_ERRORS,
        *TEXT_ERRORS,
        "unsupported_option",
        "glossary_not_found",
        *MODEL_ERRORS,
    ),
    openapi_extra=request_body(TextRequest, JSON, FORM, MULTIPART),
)
async def translate_text(request: Request, registry: RegistryOf, settings: SettingsOf) -> TextAnswer:
    body = await parse_body(request, TextRequest, settings.max_body_bytes, form=True)
    if body.text is None or body.target_lang is None:
        raise MissingParameter(f"Invalid request: missing {'text' if body.text is None else 'target_lang'} parameter")
    if body.tag_handling not in (None, "", "html", "xml"):
        raise UnsupportedFormat(f"Value for 'tag_handling' not supported: {excerpt(body.tag_handling)}")
    texts = [body.text] if isinstance(body.text, str) else body.text
    ignored = _tags(body)
    wanted = TranslateRequest(
        q=[_prepared(text, body, ignored) for text in texts],
        source=body.source_lang or handler.AUTO,
        target=body.target_lang,
        format="html" if body.tag_handling else "text",
        glossary=body.glossary_id or None,
        attention="none",
    )
    answer = await handler.translate(wanted, registry, settings)
    _count(request, sum(map(len, texts)))
    detected = [guess.language for guess in answer.plan.guesses] or [body.source_lang or ""] * len(texts)
    return TextAnswer(
        translations=[
            TranslatedText(
                detected_source_language=language.upper().split("-")[0],
                text=_restored(translation.text, ignored),
                billed_characters=len(text) if _is_true(body.show_billed_characters) else None,
                model_type_used="quality_optimized" if body.model_type else None,
            )
            for text, translation, language in zip(texts, answer.translations, detected, strict=True)
        ]
    )


def _is_true(value: str | int | bool) -> bool:
    return str(value).lower() in ("1", "true")


def _tags(body: TextRequest) -> list[str]:
    """The names of the elements that are not translated."""
    found = body.ignore_tags.split(",") if isinstance(body.ignore_tags, str) else body.ignore_tags
    return [name for name in found if name] if body.tag_handling else []


def _prepared(text: str, body: TextRequest, ignored: list[str]) -> str:
    if body.split_sentences == "nonewlines":
        text = re.sub(r"\r\n|[\r\n]", " ", text)
    if not ignored:
        return text
    names = "|".join(re.escape(name) for name in ignored)
    return re.sub(rf"<({names})(?=[\s/>])", rf"<\1{NO_TRANSLATION}", text)


def _restored(text: str, ignored: list[str]) -> str:
    for name in ignored:
        text = text.replace(f"<{name}{NO_TRANSLATION}", f"<{name}")
    return text


def _count(request: Request, characters: int) -> None:
    request.app.state.translated_characters += characters


@router.get(
    "/v2/languages",
    summary="Languages to translate from or into",
    responses=responses("/v2/languages", *CALLER_ERRORS, "invalid_input"),
)
async def deepl_languages(
    request: Request, registry: RegistryOf, type: Annotated[Side, Query()] = "source"
) -> list[DeepLLanguage]:
    if request.headers.get("content-type", "").startswith(FORM):  # the Python client sends a form with GET
        type = (await parse_body(request, LanguagesRequest, FORM_BYTES, form=True)).type
    else:
        admit_by_header(request)
    place = 0 if type == "source" else 1
    codes = sorted({pair[place] for pair in reachable(registry.pairs())})
    found = []
    for code in codes:
        upper = code.upper()
        variants = VARIANTS.get(upper, (upper,)) if type == "target" else (upper,)
        found += [DeepLLanguage(language=variant, name=_name(code, variant)) for variant in variants]
    return found


def _name(code: str, variant: str) -> str:
    _, _, region = variant.partition("-")
    return f"{name_of(code)} ({region})" if region else name_of(code)


@router.get("/v2/usage", summary="Translated characters", responses=responses("/v2/usage", *CALLER_ERRORS))
async def usage(request: Request) -> Usage:
    admit_by_header(request)
    return Usage(character_count=request.app.state.translated_characters, character_limit=CHARACTER_LIMIT)


@router.post(
    "/v2/document",
    summary="Send a document",
    responses=responses("/v2/document", *DOCUMENT_ERRORS),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            **FILE,
                            **{
                                name: {"type": "string"}
                                for name in ("target_lang", "source_lang", "output_format", "glossary_id")
                            },
                        },
                        "required": ["file", "target_lang"],
                    }
                }
            },
        }
    },
)
async def send_document(request: Request, settings: SettingsOf) -> DocumentHandle:
    """The document is translated in the background; see /v2/document/{document_id}."""
    upload, fields = await read_upload(request, settings)
    output = _field(fields, "output_format") or ""
    if output and not upload.name.lower().endswith(f".{output.lower()}"):
        raise UnsupportedFormat(f"Value for 'output_format' not supported: {excerpt(output)}")
    wanted = DocumentRequest(
        source=_field(fields, "source_lang") or handler.AUTO,
        target=_field(fields, "target_lang"),
        glossary=_field(fields, "glossary_id") or _field(fields, "glossary_ids"),
    )
    job = jobs_of(request).start(Upload(upload.name, upload.content), wanted)
    return DocumentHandle(document_id=job.name, document_key=job.key)


def _field(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


JOB_ERRORS = (*BODY_ERRORS, "missing_parameter", "document_not_found")


@router.post(
    "/v2/document/{document_id}",
    summary="The state of a document",
    response_model_exclude_none=True,
    responses=responses("/v2/document/x", *JOB_ERRORS),
    openapi_extra=request_body(DocumentKey, JSON, FORM, MULTIPART),
)
async def document_status(request: Request, document_id: str, settings: SettingsOf) -> DocumentStatus:
    job = await _job(request, document_id, settings.max_body_bytes)
    if not job.task.done():
        state: Literal["queued", "translating"] = "translating" if job.total else "queued"
        return DocumentStatus(document_id=job.name, status=state, seconds_remaining=job.seconds_remaining)
    error = job.task.exception()
    if error is None:
        return DocumentStatus(document_id=job.name, status="done", billed_characters=job.task.result().characters)
    message = str(error) if isinstance(error, ServiceError) else "an unexpected error"
    return DocumentStatus(document_id=job.name, status="error", error_message=message)


@router.post(
    "/v2/document/{document_id}/result",
    summary="The translated document",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses("/v2/document/x/result", *JOB_ERRORS, "model_not_ready"),
    },
    openapi_extra=request_body(DocumentKey, JSON, FORM, MULTIPART),
)
async def document_result(request: Request, document_id: str, settings: SettingsOf) -> Response:
    """A document is forgotten as soon as it is fetched."""
    job = await _job(request, document_id, settings.max_body_bytes)
    if not job.task.done():
        raise HTTPException(503, "Document translation is not done")
    found = job.task.result()
    _count(request, found.characters)
    jobs_of(request).remove(job)
    return document_response(found.content, found.name)


async def _job(request: Request, document_id: str, max_body_bytes: int) -> Job:
    """The job with the id and the key of a request. Raises MissingParameter or DocumentNotFound."""
    body: Any = await parse_body(request, DocumentKey, max_body_bytes, form=True)
    if body.document_key is None:
        raise MissingParameter("Invalid request: missing document_key parameter")
    return jobs_of(request).get(document_id, body.document_key)
