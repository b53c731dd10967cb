"""Routes of documents: POST /translate_file as LibreTranslate's, and GET /download_file for its results."""

import asyncio
import time
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from service.api.access import admit, admit_by_header
from service.api.body import FORMS, MULTIPART, SMALL, SettingsOf, documented, read_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, describe, responses
from service.api.forms import Fields, as_fields, parse_parts
from service.api.responses import content_response
from service.batching.offload import run_in_thread
from service.errors import InferenceTimeout, InvalidInput, MissingParameter, excerpt
from service.handlers.document_jobs import DocumentJobs, Job
from service.handlers.documents import DocumentRequest, Upload

router = APIRouter(tags=["documents"])

FORM_BYTES = 100_000
"""Maximum size of a form besides its document."""
MARGIN_S = 2.0
"""Seconds before the deadline of a request in which it is answered before its document is translated."""
DOCUMENT_ERRORS = (
    *("missing_parameter", "unsupported_language_pair", "unsupported_format", "unsupported_option"),
    *("text_too_long", "too_many_tokens"),
    *BODY_ERRORS,
    *MODEL_ERRORS,
    "glossary_not_found",
    "memory_not_found",
    "not_available",
)


class TranslatedFile(BaseModel):
    translatedFileUrl: str = Field(description="Address of the translated document, for a limited time.")


def jobs_of(request: Request) -> DocumentJobs:
    jobs: DocumentJobs = request.app.state.documents
    return jobs


async def read_upload(request: Request, settings: SettingsOf) -> tuple[Upload, Fields]:
    """Admit the caller, and read a form with one file.

    Raises Unauthorized, Forbidden, RateLimited, PayloadTooLarge, InvalidInput, MissingParameter without a file, or
    HTTPException (415).
    """
    admitted = admit_by_header(request, key_in_body=True)
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in FORMS:
        if not admitted:
            admit(request, None)
        raise HTTPException(415, f"send {MULTIPART}, not {excerpt(media_type)}")
    body = await read_body(request, settings.max_document_bytes + FORM_BYTES)
    if media_type != MULTIPART:
        raise MissingParameter("Invalid request: missing file parameter")

    def parse() -> tuple[Upload | None, Fields]:
        parts = parse_parts(body, content_type)
        file = next((part for part in parts if part.name == "file"), None)
        others = [(part.name, part.content) for part in parts if part.name != "file"]
        if sum(len(value) for _, value in others) > FORM_BYTES:
            raise InvalidInput(f"the fields of the form have more than {FORM_BYTES} bytes")
        fields = as_fields([(name, value.decode(errors="replace")) for name, value in others], frozenset())
        name = fields.get("filename") or (file.file_name if file else None)
        return Upload(name, file.content) if file and isinstance(name, str) else None, fields

    upload, fields = parse() if len(body) <= SMALL else await run_in_thread(parse)
    if not admitted:
        key = fields.get("api_key")
        admit(request, key if isinstance(key, str) else None)
    if upload is None:
        raise MissingParameter("Invalid request: missing file parameter")
    return upload, fields


FILE = {
    "file": {"type": "string", "format": "binary", "description": "The document."},
    "filename": {"type": "string", "description": "Name of the document, if that of `file` is another one."},
}
"""JSON schemas of a document in a form."""


def _body() -> dict[str, Any]:
    """`openapi_extra` of a form with a document."""
    schema = documented(DocumentRequest, MULTIPART)
    schema["properties"] |= FILE
    schema["required"] = ["file", "source", "target"]
    return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": schema}}}}


@router.post(
    "/translate_file",
    summary="Translate a document",
    responses=responses("/translate_file", *DOCUMENT_ERRORS),
    openapi_extra=_body(),
)
async def translate_file(request: Request, settings: SettingsOf) -> TranslatedFile:
    """Translate the texts of a document; everything else in it stays as it is. The format follows from the extension of
    the file name. A document that takes longer than a request is translated in the background: its address answers
    when it is ready.
    """
    upload, fields = await read_upload(request, settings)
    try:
        wanted = DocumentRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(describe(error)) from None
    job = jobs_of(request).start(upload, wanted)
    await finished(request, job)
    if job.task.done():
        name = job.task.result().name
    else:
        name = upload.name
    return TranslatedFile(translatedFileUrl=f"{request.base_url}download_file/{job.name}/{quote(name, safe='')}")


async def finished(request: Request, job: Job) -> bool:
    """Wait for a job until shortly before the deadline of the request. Raises the error of the job."""
    deadline: float = request.scope.get("state", {}).get("deadline", float("inf"))
    wait_s = max(0.0, deadline - time.monotonic() - MARGIN_S)
    if not job.task.done():
        await asyncio.wait([job.task], timeout=wait_s if wait_s < float("inf") else None)
    if job.task.done():
        job.task.result()
    return job.task.done()


@router.get(
    "/download_file/{job_name}/{file_name}",
    summary="A translated document",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        **responses("/download_file/x/notes_fr.md", "document_not_found", *DOCUMENT_ERRORS),
    },
)
async def download_file(request: Request, job_name: str, file_name: str) -> Response:
    """The result of `/translate_file`, until LIMELIGHT_DOCUMENT_TTL_S after its end."""
    job = jobs_of(request).get(job_name)
    if not await finished(request, job):
        raise InferenceTimeout("the document is not translated yet; try again later")
    found = job.task.result()
    return document_response(found.content, found.name)


def document_response(content: bytes, name: str) -> Response:
    """A response that a browser stores and does not show: the document is not the service's."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "no-store",
    }
    return content_response(content, "application/octet-stream", headers)
