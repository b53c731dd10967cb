"""Answers of the service -> results. Unknown fields are ignored, so that newer services can be called."""

import json
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from limelight_client.errors import AnswerError, ConnectionFailed
from limelight_client.other_results import (
    Detection,
    Explanation,
    Faithfulness,
    Language,
    MethodExplanation,
    Model,
    ShareOfUnits,
    StoredGlossary,
)
from limelight_client.results import (
    AlignedWords,
    Attention,
    Generation,
    MemoryMatch,
    Prediction,
    Sentence,
    Step,
    Surface,
    TargetToken,
    Token,
    TokenLogprob,
    Translation,
    UsedTerm,
)

Answer = Any
Result = TypeVar("Result")


def one(kind: type[Result], given: Answer, **others: Any) -> Result:
    """Return an object of a dataclass from the fields that it has in an answer. `others` replace fields."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{**{name: value for name, value in given.items() if name in names}, **others})


def several(kind: type[Result], given: list[Answer] | None) -> list[Result]:
    return [one(kind, value) for value in given or []]


def attention(given: list[Answer]) -> list[Attention]:
    found = []
    for matrix in given:
        weights = matrix["weights"]
        if isinstance(weights, dict):
            array = np.frombuffer(weights["data"], "<f4").reshape(weights["shape"])
        else:
            array = np.array(weights, dtype=np.float32)
        found.append(Attention(matrix["kind"], matrix["layer"], matrix["head"], array))
    return found


def predictions(answer: Answer) -> list[Prediction]:
    return [
        one(Prediction, given, tokens=several(Token, given["tokens"]), attention=attention(given["attention"]))
        for given in answer["predictions"]
    ]


def sentence(given: Answer) -> Sentence:
    return Sentence(
        attention=attention(given["attention"]),
        text=given["text"],
        score=given["score"],
        start=given["source"]["start"],
        end=given["source"]["end"],
        source_tokens=several(Token, given["source_tokens"]),
        target_tokens=several(TargetToken, given["target_tokens"]),
        alternatives=[(other["text"], other["score"]) for other in given.get("alternatives") or []],
        alignment=[
            AlignedWords(one(Surface, pair["source"]), one(Surface, pair["target"]))
            for pair in given.get("alignment") or []
        ],
        match=memory_match(given),
    )


def memory_match(given: Answer) -> MemoryMatch | None:
    match = given.get("match")
    return None if match is None else one(MemoryMatch, match)


def translations(answer: Answer) -> list[Translation]:
    listed = isinstance(answer["translatedText"], list)
    others, languages = answer.get("alternatives"), answer.get("detectedLanguage")
    return [
        Translation(
            text=given["text"],
            sentences=[sentence(found) for found in given["sentences"]],
            alternatives=[] if others is None else others[n] if listed else others,
            language=None if languages is None else (languages[n] if listed else languages)["language"],
            glossary=[
                UsedTerm(term["term"], one(Surface, term["source"]), one(Surface, term["target"]))
                for term in given.get("glossary") or []
            ],
            steps=several(Step, given.get("steps")),
            match=memory_match(given),
        )
        for n, given in enumerate(answer["translations"])
    ]


def generation(given: Answer) -> Generation:
    return one(
        Generation,
        given,
        attention=attention(given["attention"]),
        prompt_tokens=several(TokenLogprob, given["prompt_tokens"]),
        tokens=several(TokenLogprob, given["tokens"]),
    )


def explanation(given: Answer) -> Explanation:
    def faithfulness(of: Answer) -> Faithfulness:
        return one(Faithfulness, of, shares=several(ShareOfUnits, of["shares"]))

    methods = [
        one(
            MethodExplanation,
            method,
            weights=np.array(method["weights"]),
            errors=None if method.get("errors") is None else np.array(method["errors"]),
            faithfulness=faithfulness(method["faithfulness"]),
        )
        for method in given["explanations"]
    ]
    random = given.get("random")
    return one(
        Explanation,
        given,
        tokens=several(Token, given["tokens"]),
        explanations=methods,
        output_tokens=several(TokenLogprob, given.get("output_tokens")),
        random=None if random is None else faithfulness(random),
    )


def model(given: Answer) -> Model:
    return one(Model, given)


def models(given: Answer) -> list[Model]:
    return several(Model, given["models"])


def languages(given: Answer) -> list[Language]:
    return several(Language, given)


def detections(given: Answer) -> list[Detection]:
    return several(Detection, given)


def glossaries(given: Answer) -> list[StoredGlossary]:
    return several(StoredGlossary, given)


class Events:
    """Reads a stream of events line by line."""

    def __init__(self) -> None:
        self._name = ""
        self._done = False

    def read(self, line: str) -> list[Any]:
        """Return the results that a line completes: a sentence, a generated token, or the full answer.

        Raises AnswerError for an `error` event.
        """
        if line.startswith("event: "):
            self._name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            return self._read(json.loads(line.removeprefix("data: ")))
        return []

    def _read(self, content: Answer) -> list[Any]:
        if self._name == "sentence":
            return [sentence(content["sentence"])]
        if self._name == "token" and "logprob" in content:
            return [one(TokenLogprob, content)]
        if self._name == "done":
            self._done = True
            return [generation(content)] if "finish_reason" in content else [*translations(content)]
        if self._name == "error":
            raise AnswerError(content["status"], content["error_type"], content["detail"])
        return []

    def check_end(self) -> None:
        """Raises ConnectionFailed if the stream ended before the full answer."""
        if not self._done:
            raise ConnectionFailed("the stream ended before the answer was complete")
