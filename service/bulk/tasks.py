"""The tasks of a bulk job. Each calls the handler of a route, and takes its options from the route's request schema."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from service.classification.classifier import Prediction
from service.errors import InvalidInput, excerpt
from service.handlers.classify import classify
from service.handlers.classify import encode as encode_prediction
from service.handlers.encoding import AS_JSON, rounded
from service.handlers.explain import explain
from service.handlers.explain_schemas import ExplainRequest
from service.handlers.languages import PIVOT
from service.handlers.schemas import ClassifyRequest, TranslateRequest
from service.handlers.translate import AUTO, translate
from service.handlers.translation_encoding import encode as encode_translation
from service.registry.registry import Registry
from service.settings import Settings

TaskName = Literal["translate", "classify", "explain"]
Answer = dict[str, Any]
"""Column -> value."""
ColumnType = Literal["string", "float64", "bool", "int64", "json"]


class Task(ABC):
    """A route and its options."""

    schema: type[BaseModel]
    text_field: str
    """Field of the request that holds the texts."""
    refuses_blank = True
    """True if a text without a visible character is a bad row."""

    def __init__(self, options: Mapping[str, Any]):
        """Raises InvalidInput if an option is unknown or invalid."""
        known = self.schema.model_fields.keys() - {self.text_field, "api_key"}
        if unknown := sorted(options.keys() - known):
            raise InvalidInput(f"unknown options: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        try:
            self.request: Any = self.schema.model_validate({**options, self.text_field: ""})
        except ValidationError as error:
            problems = [f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()]
            raise InvalidInput("; ".join(problems)) from None

    @property
    def options(self) -> dict[str, Any]:
        """All options, also those that were not given."""
        found: dict[str, Any] = self.request.model_dump(mode="json", exclude={self.text_field, "api_key"})
        return found

    @abstractmethod
    def models(self, registry: Registry) -> list[str]:
        """Names of the models that the task needs. Raises InvalidInput or ModelNotFound."""

    @abstractmethod
    def columns(self) -> dict[str, ColumnType]:
        """The columns of an answer and their types in a parquet file."""

    @abstractmethod
    async def answer(self, texts: Sequence[str], registry: Registry, settings: Settings) -> list[Answer]:
        """One answer per text, in order. Raises as the handler does."""

    def _request(self, texts: Any) -> Any:
        return self.request.model_copy(update={self.text_field: texts})


class Classify(Task):
    """Labels and scores; with attention also the tokens and the matrices."""

    schema, text_field = ClassifyRequest, "text"

    def models(self, registry: Registry) -> list[str]:
        return [self.request.model or registry.default_classifier()]

    def columns(self) -> dict[str, ColumnType]:
        detail: dict[str, ColumnType] = {} if self.request.attention == "none" else DETAIL
        return {"label": "string", "score": "float64", "scores": "json", "truncated": "bool", **detail}

    async def answer(self, texts: Sequence[str], registry: Registry, settings: Settings) -> list[Answer]:
        found = await classify(self._request(list(texts)), registry, settings)
        encode = encode_labels if self.request.attention == "none" else encode_prediction
        return [encode(prediction) for prediction in found.predictions]


def encode_labels(prediction: Prediction) -> Answer:
    """A prediction without its tokens, which take longer to encode than the rest."""
    return {
        "label": prediction.label,
        "score": rounded(prediction.score),
        "scores": {label: rounded(score) for label, score in prediction.scores.items()},
        "truncated": prediction.truncated,
    }


DETAIL: dict[str, ColumnType] = {"tokens": "json", "attention": "json"}


class Translate(Task):
    """Translations; with attention, log-probabilities or alternatives also the sentences."""

    schema, text_field, refuses_blank = TranslateRequest, "q", False

    def __init__(self, options: Mapping[str, Any]):
        super().__init__(options)
        request = self.request
        if request.source == AUTO:
            raise InvalidInput("a bulk job needs the source language; it does not detect it")
        if request.model is None and None in (request.source, request.target):
            raise InvalidInput("name the model, or the source and the target language")
        self._in_sentences = request.attention != "none" or request.logprobs or request.alternatives > 0

    def models(self, registry: Registry) -> list[str]:
        if self.request.model is not None:
            return [self.request.model]
        source, target = self.request.source, self.request.target
        pairs = registry.pairs()
        steps = (source, PIVOT), (PIVOT, target)
        if (source, target) not in pairs and all(step in pairs for step in steps):
            return [pairs[step] for step in steps]
        return [registry.default_translator(source, target)]

    def columns(self) -> dict[str, ColumnType]:
        return {"translation": "string", **({"sentences": "json"} if self._in_sentences else {})}

    async def answer(self, texts: Sequence[str], registry: Registry, settings: Settings) -> list[Answer]:
        found = await translate(self._request(list(texts)), registry, settings)
        if not self._in_sentences:
            return [{"translation": translation.text} for translation in found.translations]
        alternatives = self.request.alternatives > 0
        encoded = [encode_translation(one, alternatives) for one in found.translations]
        return [{"translation": one["text"], "sentences": one["sentences"]} for one in encoded]


class Explain(Task):
    """Weights of words by several methods, with their faithfulness."""

    schema, text_field = ExplainRequest, "text"

    def models(self, registry: Registry) -> list[str]:
        return [self.request.model or registry.default_classifier()]

    def columns(self) -> dict[str, ColumnType]:
        return {
            **{"target": "string", "score": "float64", "empty_score": "float64", "unit": "string", "tokens": "json"},
            **{"explanations": "json", "random": "json", "evaluations": "int64"},
        }

    async def answer(self, texts: Sequence[str], registry: Registry, settings: Settings) -> list[Answer]:
        answers = [(await explain(self._request(text), registry, settings)).encode(AS_JSON) for text in texts]
        columns = self.columns()
        return [{name: one[name] for name in columns} for one in answers]


TASKS: dict[TaskName, type[Task]] = {"translate": Translate, "classify": Classify, "explain": Explain}


def task_of(name: str, options: Mapping[str, Any]) -> Task:
    """The task of that name. Raises InvalidInput."""
    if name not in TASKS:
        raise InvalidInput(f"there is no task {excerpt(name)!r}, only {', '.join(TASKS)}")
    defaults = {} if name == "explain" else {"attention": "none"}
    return TASKS[name]({**defaults, **options})
