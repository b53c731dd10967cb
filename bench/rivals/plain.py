"""FastAPI as in its tutorial, with pydantic models for requests and answers."""

from fastapi import FastAPI
from pydantic import BaseModel

from bench.rivals.network import network


class ClassifyRequest(BaseModel):
    text: str | list[str]


class Token(BaseModel):
    text: str
    start: int
    end: int


class Attention(BaseModel):
    kind: str
    weights: list[list[float]]


class Prediction(BaseModel):
    label: str
    score: float
    scores: dict[str, float]
    tokens: list[Token]
    attention: list[Attention]


class ClassifyResponse(BaseModel):
    predictions: list[Prediction]


app = FastAPI()
predict = network()


@app.post("/classify")
def classify(request: ClassifyRequest) -> ClassifyResponse:
    texts = [request.text] if isinstance(request.text, str) else request.text
    return ClassifyResponse(predictions=[Prediction(**found) for found in predict(texts)])
