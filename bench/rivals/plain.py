"""FastAPI as its tutorial has it, pydantic in and out."""

from fastapi import FastAPI
from pydantic import BaseModel

from bench.rivals.network import network


class Question(BaseModel):
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


class Answer(BaseModel):
    predictions: list[Prediction]


app = FastAPI()
predict = network()


@app.post("/classify")
def classify(question: Question) -> Answer:
    texts = [question.text] if isinstance(question.text, str) else question.text
    return Answer(predictions=[Prediction(**found) for found in predict(texts)])
