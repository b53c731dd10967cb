"""POST /explain."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.body import JSON, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, responses
from service.api.responses import FastJSON, encoding_of, respond
from service.handlers import explain as handler
from service.handlers.explain_schemas import ExplainOutputResponse, ExplainRequest, ExplainResponse

router = APIRouter(tags=["classify"])
EXPLAIN_ERRORS = ("empty_text", "text_too_long", "too_many_tokens", "unsupported_option")


@router.post(
    "/explain",
    summary="Explain a label, a translation or a continuation by words, with a measured faithfulness",
    response_class=FastJSON,
    responses={
        200: {"model": ExplainResponse | ExplainOutputResponse},
        **responses("/explain", *BODY_ERRORS, *EXPLAIN_ERRORS, *MODEL_ERRORS),
    },
    openapi_extra=request_body(ExplainRequest, JSON),
)
async def explain(request: Request) -> Response:
    """Each method gives every word a weight. `attention` is the attention of the network. `occlusion` is the fall of
    the score without the word. `shapley` is the mean change of the score when the word joins others.

    Each method also gets its faithfulness: the fall of the score without its first words (comprehensiveness) and with
    its first words alone (sufficiency). `random` has the same for random orders.

    For a translator and a language model, each method gives a weight to every word of the text for every word of the
    `output`. `occlusion` is then the fall of the log-probability of the output word.
    """
    state = request.app.state
    body = await parse_body(request, ExplainRequest, state.settings.max_body_bytes)
    encoding = encoding_of(request)
    return await respond(request, await handler.explain(body, state.registry, state.settings), encoding)
