"""POST /huggingface/{name}: the requests and answers of `huggingface_hub.InferenceClient`.

    InferenceClient("http://localhost:8000/huggingface/sms-spam").text_classification("FREE entry!")
    InferenceClient("http://localhost:8000/huggingface/en-fr").translation("Good morning.")
    InferenceClient("http://localhost:8000/huggingface/nietzsche").text_generation("Morality is ", max_new_tokens=50)

These answers have no tokens and no attention; /classify, /translate and /generate have them.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.responses import Response

from service.api import events
from service.api.body import JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, describe, responses
from service.api.responses import FastJSON
from service.errors import InvalidInput, excerpt
from service.handlers.classify import classify
from service.handlers.encoding import Emit, dumps, rounded
from service.handlers.generate import GenerationAnswer, generate, generate_all
from service.handlers.schemas import ClassifyRequest, GenerateRequest, Texts, TranslateRequest
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(tags=["huggingface"])


Parameters = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
"""Parameters of a model; null is none."""


class HuggingFaceRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "FREE entry!", "parameters": {"top_k": 1}}]})

    inputs: Texts = Field(description="A text, or a list of texts.")
    parameters: Parameters = Field(
        {},
        description="For a classifier `top_k`, `truncation`, `function_to_apply` (`softmax`); for a translator "
        "`src_lang`, `tgt_lang`; for a language model `max_new_tokens`, `do_sample`, `temperature`, `top_k`, `top_p`, "
        "`repetition_penalty`, `seed`, `stop`, `return_full_text`.",
    )
    stream: bool | None = Field(False, description="Events of a language model, one per token.")

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
async def call(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> Response:
    """A classifier answers with a list per text: every label and its score, best first. A translator answers with a
    translation per text, a language model with a continuation per text: the likeliest, unless the parameters ask for
    sampling.
    """
    body = await parse_body(request, HuggingFaceRequest, settings.max_body_bytes)
    manifest = registry.entry(name).manifest
    if manifest is not None and manifest.task == "translation":
        return FastJSON(await translations(name, body, registry, settings))
    if manifest is not None and manifest.task == "generation":
        if body.stream:
            return await stream_tokens(request, name, body, registry, settings)
        return FastJSON(await generations(name, body, registry, settings))
    return FastJSON(await labels(name, body, registry, settings))


async def labels(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[list[dict[str, Any]]]:
    given = known(body.parameters, "top_k", "function_to_apply", "truncation", *IGNORED)
    if given.get("function_to_apply") not in (None, "softmax"):
        raise InvalidInput("parameters.function_to_apply: the scores are those of `softmax`")
    top_k, truncate = given.get("top_k"), given.get("truncation") not in (None, False, "do_not_truncate")
    if not (top_k is None or isinstance(top_k, int) and top_k > 0):
        raise InvalidInput("parameters.top_k: a number above 0")
    request = ClassifyRequest(text=body.inputs, model=name, attention="none", truncate=truncate)
    answer = await classify(request, registry, settings)
    ranked = [sorted(one.scores.items(), key=lambda item: -item[1])[:top_k] for one in answer.predictions]
    return [[{"label": label, "score": rounded(score)} for label, score in scores] for scores in ranked]


async def translations(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[dict[str, str]]:
    # A translator splits long texts, and never truncates.
    languages = known(body.parameters, "src_lang", "tgt_lang", "truncation", *IGNORED)
    source, target = languages.get("src_lang"), languages.get("tgt_lang")
    if not all(isinstance(language, str | None) for language in (source, target)):
        raise InvalidInput("parameters.src_lang, parameters.tgt_lang: language codes")
    request = TranslateRequest(q=body.inputs, model=name, source=source, target=target, attention="none")
    answer = await translate(request, registry, settings)
    return [{"translation_text": translation.text} for translation in answer.translations]


SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "stop")
"""Parameters with the same name in /generate."""
IGNORED = ("clean_up_tokenization_spaces",)
"""Parameters that do not change the answers of these models."""
DETAILS = ("details", "decoder_input_details")


async def generations(
    name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> list[dict[str, str]]:
    request = sampling_request(name, body)
    found = await generate_all(body.texts, request, registry, settings)
    whole = bool(body.parameters.get("return_full_text"))
    return [{"generated_text": text * whole + one.text} for text, one in zip(body.texts, found, strict=True)]


def sampling_request(name: str, body: HuggingFaceRequest) -> GenerateRequest:
    """The options of a request, without a prompt. Raises InvalidInput."""
    given = known(body.parameters, *SAMPLING, "max_new_tokens", "do_sample", "return_full_text", *DETAILS, *IGNORED)
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
        return GenerateRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        raise InvalidInput(describe(error)) from None


async def stream_tokens(
    request: Request, name: str, body: HuggingFaceRequest, registry: Registry, settings: Settings
) -> Response:
    """Events as text-generation-inference sends them: a `data:` line per token, the last one with the whole text.

    The id of a token is its number in the text.
    """
    if len(body.texts) != 1:
        raise InvalidInput("inputs: events need exactly one text")
    options = sampling_request(name, body).model_copy(update={"prompt": body.texts[0]})

    async def work(emit: Emit) -> GenerationAnswer:
        held: list[dict[str, Any]] = []

        def on_token(_name: str, event: Any) -> None:
            number = held[0]["index"] + 1 if held else 0
            if held:
                emit("token", held.pop())
            token = {"id": number, "text": event["text"], "logprob": event["logprob"], "special": False}
            held.append({"index": number, "token": token, "generated_text": None, "details": None})

        answer = await generate(options, registry, settings, on_token)
        for last in held:
            emit("token", {**last, "generated_text": answer.generation.text})
        return answer

    return await events.stream(request, work, data_only)


def data_only(name: str, content: Any) -> bytes:
    """An event without a name. There is no `done` event."""
    return b"" if name == "done" else b"data:" + dumps(content) + b"\n\n"


def known(parameters: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the parameters. Raises InvalidInput for an unknown one, which would be ignored."""
    if unknown := [name for name, value in parameters.items() if name not in names and value is not None]:
        raise InvalidInput(f"parameters: there is no {excerpt(', '.join(unknown))}, only {', '.join(names)}")
    return parameters
