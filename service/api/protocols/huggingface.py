"""POST /huggingface/{name}: what `huggingface_hub.InferenceClient` sends to an address of its own, and reads.

    InferenceClient("http://localhost:8000/huggingface/sms-spam").text_classification("FREE entry!")
    InferenceClient("http://localhost:8000/huggingface/en-fr").translation("Good morning.")
    InferenceClient("http://localhost:8000/huggingface/nietzsche").text_generation("Morality is ", max_new_tokens=50)

It has no place for tokens or attention: whoever wants these asks /classify, /translate or /generate.
"""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.api import classify, generate
from service.api.body import JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import OF_A_BODY, OF_A_MODEL, OF_TEXTS, describe, responses
from service.api.middleware.limits import check_texts
from service.errors import InvalidInput
from service.handlers import translate as question
from service.handlers.encoding import FastJSON, rounded
from service.handlers.schemas import ClassifyRequest, GenerateRequest, Texts, TranslateRequest
from service.registry.registry import Registry

router = APIRouter(tags=["huggingface"])


class HuggingFaceRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "FREE entry!", "parameters": {"top_k": 1}}]})

    inputs: Texts = Field(description="A text, or a list of texts.")
    parameters: dict[str, Any] = Field(
        {},
        description="Of a classifier `top_k`; of a translator `src_lang`, `tgt_lang`; of a language model "
        "`max_new_tokens`, `do_sample`, `temperature`, `top_k`, `top_p`, `repetition_penalty`, `seed`, `stop`, "
        "`return_full_text`.",
    )
    stream: bool = Field(False, description="Events are what /generate has.")


@router.post(
    "/huggingface/{name}",
    summary="Ask a model as Hugging Face's client does",
    response_class=FastJSON,
    responses={
        200: {"content": {JSON: {"schema": {"type": "array"}}}},
        **responses("/huggingface/nope", *OF_A_BODY, *OF_TEXTS, *OF_A_MODEL),
        **responses("/huggingface/nope", "unsupported_language_pair", "unsupported_option"),
    },
    openapi_extra=request_body(HuggingFaceRequest, JSON),
)
async def ask(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> FastJSON:
    """A list for each text with every label and its score, the best first; or the translation of each text, or what is
    written behind each. Where nothing says that it is to be drawn, the likeliest text is written.
    """
    body = await parse_body(request, HuggingFaceRequest, settings.max_body_bytes)
    texts = check_texts("inputs", body.inputs, settings)
    manifest = registry.entry(name).manifest
    if manifest is not None and manifest.task == "translation":
        return FastJSON(await translated(name, texts, body.parameters, registry))
    if manifest is not None and manifest.task == "generation":
        return FastJSON(await written(name, texts, body, registry))
    return FastJSON(await labelled(name, texts, body.parameters, registry))


async def labelled(
    name: str, texts: list[str], parameters: dict[str, Any], registry: Registry
) -> list[list[dict[str, Any]]]:
    top_k = known(parameters, "top_k").get("top_k")
    if not (top_k is None or isinstance(top_k, int) and top_k > 0):
        raise InvalidInput("parameters.top_k: a number above 0")
    asked = ClassifyRequest(text=texts, attention="none")
    predictions = await classify.answered(registry.classifier(name), asked, texts)
    ranked = [sorted(prediction.scores.items(), key=lambda item: -item[1])[:top_k] for prediction in predictions]
    return [[{"label": label, "score": rounded(score)} for label, score in labels] for labels in ranked]


async def translated(
    name: str, texts: list[str], parameters: dict[str, Any], registry: Registry
) -> list[dict[str, str]]:
    languages = known(parameters, "src_lang", "tgt_lang")
    source, target = languages.get("src_lang"), languages.get("tgt_lang")
    if not all(isinstance(language, str | None) for language in (source, target)):
        raise InvalidInput("parameters.src_lang, parameters.tgt_lang: codes of languages")
    asked = TranslateRequest(q=texts, model=name, source=source, target=target, attention="none")
    found = await question.answered(await question.asked(asked, texts, registry))
    return [{"translation_text": translation.text} for translation in found]


MANNER = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "stop")
"""What /generate calls by the same names."""
DETAILS = ("details", "decoder_input_details")


async def written(name: str, texts: list[str], body: HuggingFaceRequest, registry: Registry) -> list[dict[str, str]]:
    if body.stream:
        raise InvalidInput("stream: ask /generate with `Accept: text/event-stream`")
    given = known(body.parameters, *MANNER, "max_new_tokens", "do_sample", "return_full_text", *DETAILS)
    if any(given.get(name) for name in DETAILS):
        raise InvalidInput("parameters.details: ask /generate, whose every answer has them")
    drawn = given.get("do_sample") or (given.get("do_sample") is None and given.get("temperature") is not None)
    wish = {name: given[name] for name in MANNER if given.get(name) is not None}
    if not drawn:
        wish["temperature"] = 0.0
    if given.get("max_new_tokens") is not None:
        wish["max_tokens"] = given["max_new_tokens"]
    try:
        asked = GenerateRequest.model_validate({**wish, "prompt": texts[0], "attention": "none"}, strict=True)
    except ValidationError as error:
        raise InvalidInput(describe(error.errors(include_url=False, include_context=False))) from None
    manner = generate.sampling_params(asked)
    found = await registry.generator(name).generate_all(texts, manner)
    whole = bool(given.get("return_full_text"))
    return [{"generated_text": text * whole + one.text} for text, one in zip(texts, found, strict=True)]


def known(parameters: dict[str, Any], *names: str) -> dict[str, Any]:
    """Raises InvalidInput for a parameter that would be passed over in silence."""
    if unknown := [name for name, value in parameters.items() if name not in names and value is not None]:
        raise InvalidInput(f"parameters: there is no {', '.join(unknown)}, only {', '.join(names)}")
    return parameters
