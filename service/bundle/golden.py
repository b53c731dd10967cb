"""The schema of `golden.json`: inputs of a bundle with the answers that PyTorch gave.

Before a bundle is ready, the service runs every case and compares the answers within a tolerance.
"""

import json
from pathlib import Path

from pydantic import Field, ValidationError

from service.bundle.files import read_file
from service.bundle.manifest import GOLDEN, Precision, Section, Task, describe
from service.errors import BundleCorrupt

FLOAT16_TOLERANCE = 5e-3
"""Minimum tolerance in float16, which a network that was trained in float32 reaches."""

Weights = list[list[float]]
"""The summary attention, [queries, keys]."""


class ClassificationAnswer(Section):
    scores: dict[str, float]
    """Label -> probability."""
    attention: Weights | None


class ClassificationCase(Section):
    text: str
    answer: ClassificationAnswer


class TranslationAnswer(Section):
    """A greedy translation of one sentence."""

    translation: str
    score: float
    """Mean log-probability of its tokens, </s> included."""
    attention: Weights | None


class TranslationCase(Section):
    text: str
    answer: TranslationAnswer


class GenerationAnswer(Section):
    """A greedy continuation of a prompt."""

    text: str
    log_prob: float
    """Sum over its tokens."""
    attention: Weights | None


class GenerationCase(Section):
    text: str
    max_tokens: int = Field(gt=0)
    answer: GenerationAnswer


Case = ClassificationCase | TranslationCase | GenerationCase


class Golden(Section):
    """The fields of `golden.json` that all tasks share."""

    tolerance: float = Field(ge=0, allow_inf_nan=False)
    """Largest difference of two numbers of an answer."""
    tolerances: dict[Precision, float] = {}
    """Tolerance of a precision, where it differs."""

    def tolerance_for(self, precision: Precision) -> float:
        least = FLOAT16_TOLERANCE if precision == "float16" else 0.0
        return self.tolerances.get(precision, max(self.tolerance, least))


class ClassificationGolden(Golden):
    cases: list[ClassificationCase] = Field(min_length=1)


class TranslationGolden(Golden):
    cases: list[TranslationCase] = Field(min_length=1)


class GenerationGolden(Golden):
    cases: list[GenerationCase] = Field(min_length=1)


AnyGolden = ClassificationGolden | TranslationGolden | GenerationGolden
SCHEMAS: dict[Task, type[AnyGolden]] = {
    "classification": ClassificationGolden,
    "translation": TranslationGolden,
    "generation": GenerationGolden,
}


def parse_golden(content: bytes, task: Task) -> AnyGolden:
    """Validate the content of `golden.json`. Raises BundleCorrupt."""
    try:
        return SCHEMAS[task].model_validate_json(content)
    except ValidationError as error:
        raise BundleCorrupt(f"{GOLDEN}: {describe(error)}") from None


def read_golden(folder: Path, task: Task) -> AnyGolden:
    """Read and validate `golden.json`. Raises BundleCorrupt."""
    return parse_golden(read_file(folder, GOLDEN), task)


def write_golden(folder: Path, golden: AnyGolden) -> None:
    """Write `golden.json`."""
    content = golden.model_dump(mode="json", exclude_defaults=True)
    (folder / GOLDEN).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
