"""Checks a predictor against the golden cases of its bundle."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from service.bundle.golden import AnyGolden
from service.bundle.manifest import Precision
from service.errors import InferenceTimeout

ANSWER_TIMEOUT_S = 60.0
"""Maximum time for one golden answer, in which a request may wait in a full queue."""


class Answering(Protocol):
    """A predictor that answers the golden cases of its task."""

    precision: Precision

    async def golden(self, case: Any) -> BaseModel: ...


async def golden_problem(predictor: Answering, golden: AnyGolden, only: int | None = None) -> str | None:
    """Run all golden cases, or the case with index `only` modulo their number, and describe the first wrong answer.

    Returns None if all answers are right. Raises InferenceTimeout, and the errors of the predictor.
    """
    tolerance = golden.tolerance_for(predictor.precision)
    cases: Sequence[Any] = golden.cases
    if only is not None and cases:
        cases = [cases[only % len(cases)]]
    for case in cases:
        try:
            answer = await asyncio.wait_for(predictor.golden(case), ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise InferenceTimeout(f"no answer to a golden input within {ANSWER_TIMEOUT_S:g} s") from None
        if found := differences(case.answer.model_dump(), answer.model_dump(), tolerance):
            return f"the golden input {case.text!r} is answered wrongly: {found[0]}"
    return None


def differences(expected: object, actual: object, tolerance: float, path: str = "") -> list[str]:
    """Compare two JSON values and describe every difference.

    Floats differ if they are further apart than the tolerance. All other values differ if they are not equal.
    """
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        return [d for k in expected for d in differences(expected[k], actual[k], tolerance, f"{path}.{k}")]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [d for i, e in enumerate(expected) for d in differences(e, actual[i], tolerance, f"{path}[{i}]")]
    if isinstance(expected, float) and isinstance(actual, float):
        same = abs(expected - actual) <= tolerance
    else:
        same = expected == actual
    return [] if same else [f"{path}: expected {expected}, got {actual}"]
