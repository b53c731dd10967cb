"""POST /classify."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.body import JSON, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, responses
from service.api.responses import FastJSON, documented, encoding_of, respond
from service.handlers import classify as handler
from service.handlers.schemas import ClassifyRequest, ClassifyResponse

router = APIRouter(tags=["classify"])


@router.post(
    "/classify",
    summary="Classify texts, with the attention behind each label",
    response_class=FastJSON,
    responses={
        200: {"model": ClassifyResponse, "content": documented("ClassifyResponse")},
        **responses("/classify", *BODY_ERRORS, *TEXT_ERRORS, *MODEL_ERRORS),
    },
    openapi_extra=request_body(ClassifyRequest, JSON),
)
async def classify(request: Request) -> Response:
    """Each text gets its label, the probability of every label, its tokens with character offsets, and the attention
    weights of the tokens. `summary` is the one matrix to look at first, `full` is every matrix of the model, and `none`
    leaves the matrices out.
    """
    state = request.app.state
    body = await parse_body(request, ClassifyRequest, state.settings.max_body_bytes)
    encoding = encoding_of(request)
    answer = await handler.classify(body, state.registry, state.settings)
    return await respond(request, answer, encoding)
