"""POST /huggingface/{name}: the requests and answers of `huggingface_hub.InferenceClient`.

    InferenceClient("http://localhost:8000/huggingface/sms-spam").text_classification("FREE entry!")
    InferenceClient("http://localhost:8000/huggingface/en-fr").translation("Good morning.")
    InferenceClient("http://localhost:8000/huggingface/nietzsche").text_generation("Morality is ", max_new_tokens=50)

These answers have no tokens and no attention; /classify, /translate and /generate have them.
"""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.api.body import JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, describe, responses
from service.api.responses import FastJSON
from service.errors import InvalidInput
from service.handlers.classify import classify
from service.handlers.encoding import rounded
from service.handlers.generate import generate_all
from service.handlers.schemas import ClassifyRequest, GenerateRequest, Texts, TranslateRequest
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(tags=["huggingface"])


class HuggingFaceRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "FREE entry!", "parameters": {"top_k": 1}}]})

    inputs: Texts = Field(description="A text, or a list of texts.")
    parameters: dict[str, Any] = Field(
        {},
        description="For a classifier `top_k`; for a translator `src_lang`, `tgt_lang`; for a language model "
        "`max_new_tokens`, `do_sample`, `temperature`, `top_k`, `top_p`, `repetition_penalty`, `seed`, `stop`, "
        "`return_full_text`.",
    )
    stream: bool = Field(False, description="Not supported: /generate has events.")

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


@router.post(
    "/huggingface/{name}",
    name="ask",
    summary="Call a model as Hugging Face's client does",
    response_class=FastJSON,
    responses={
        200: {"content": {JSON: {"schema": {"type": "array"}}}},
        **responses("/huggingface/nope", *BODY_ERRORS, *TEXT_ERRORS, *MODEL_ERRORS),
        **responses("/huggingface/nope", "unsupported_language_pair", "unsupported_option"),
    },
    openapi_extra=request_body(HuggingFaceRequest, JSON),
)
async def call(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> FastJSON:
    """A classifier answers with a list per text: every label and its score, best first. A translator answers with a
    translation per text, a language model with a continuation per text: the likeliest, unless the parameters ask for
    sampling.
    """
    body = await parse_body(request, HuggingFaceRequest, settings.max_body_bytes)
    manifest = registry.entry(name).manifest
    if manifest is not None and manifest.task == "translation":
        return FastJSON(await translations(name, body, registry, settings))
    if manifest is not None and manifest.task == "generation":
        return FastJSON(await generations(name, body, registry, settings))
    return FastJSON(await labels(name, body, registry, settings))


async def labels(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[list[dict[str, Any]]]:
    top_k = known(body.parameters, "top_k").get("top_k")
    if not (top_k is None or isinstance(top_k, int) and top_k > 0):
        raise InvalidInput("parameters.top_k: a number above 0")
    request = ClassifyRequest(text=body.texts, model=name, attention="none")
    answer = await classify(request, registry, settings)
    ranked = [sorted(one.scores.items(), key=lambda item: -item[1])[:top_k] for one in answer.predictions]
    return [[{"label": label, "score": rounded(score)} for label, score in scores] for scores in ranked]


async def translations(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[dict[str, str]]:
    languages = known(body.parameters, "src_lang", "tgt_lang")
    source, target = languages.get("src_lang"), languages.get("tgt_lang")
    if not all(isinstance(language, str | None) for language in (source, target)):
        raise InvalidInput("parameters.src_lang, parameters.tgt_lang: language codes")
    request = TranslateRequest(q=body.texts, model=name, source=source, target=target, attention="none")
    answer = await translate(request, registry, settings)
    return [{"translation_text": translation.text} for translation in answer.translations]


SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "stop")
"""Parameters with the same name in /generate."""
DETAILS = ("details", "decoder_input_details")


async def generations(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[dict[str, str]]:
    if body.stream:
        raise InvalidInput("stream: use /generate with `Accept: text/event-stream`")
    given = known(body.parameters, *SAMPLING, "max_new_tokens", "do_sample", "return_full_text", *DETAILS)
    if any(given.get(detail) for detail in DETAILS):
        raise InvalidInput("parameters.details: use /generate, whose answers always have them")
    sampled = given.get("do_sample") or (given.get("do_sample") is None and given.get("temperature") is not None)
    options = {name: given[name] for name in SAMPLING if given.get(name) is not None}
    if not sampled:
        options["temperature"] = 0.0
    if given.get("max_new_tokens") is not None:
        options["max_tokens"] = given["max_new_tokens"]
    fields = {**options, "prompt": "", "model": name, "attention": "none"}
    try:
        request = GenerateRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        raise InvalidInput(describe(error.errors(include_url=False, include_context=False))) from None
    found = await generate_all(body.texts, request, registry, settings)
    whole = bool(given.get("return_full_text"))
    return [{"generated_text": text * whole + one.text} for text, one in zip(body.texts, found, strict=True)]


def known(parameters: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the parameters. Raises InvalidInput for one that would be ignored."""
    if unknown := [name for name, value in parameters.items() if name not in names and value is not None]:
        raise InvalidInput(f"parameters: there is no {', '.join(unknown)}, only {', '.join(names)}")
    return parameters
