"""Python client of the Limelight service. Results are typed, and attention matrices are numpy arrays.

>>> from limelight_client import Limelight
>>> with Limelight("http://localhost:8000") as limelight:  # doctest: +SKIP
...     limelight.classify("FREE entry! Text WIN to 80086 now", model="sms-spam").label
...     limelight.translate("Good morning, Tom.", "en", "fr").text
'spam'
'Bonjour, Tom.'

`AsyncLimelight` has the same methods as coroutines. One text returns one result, a list returns a list. The client
repeats a request that is answered with 429 or 503, after the time in `Retry-After`.
"""

from limelight_client.async_client import AsyncLimelight
from limelight_client.client import Limelight
from limelight_client.errors import AnswerError, ConnectionFailed, LimelightError, TimedOut
from limelight_client.options import (
    ClassifyOptions,
    DocumentOptions,
    ExplainOptions,
    GenerateOptions,
    TranslateOptions,
)
from limelight_client.other_results import (
    Detection,
    Document,
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
    Evidence,
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

__all__ = [
    "AlignedWords",
    "AnswerError",
    "AsyncLimelight",
    "Attention",
    "ClassifyOptions",
    "ConnectionFailed",
    "Detection",
    "Document",
    "DocumentOptions",
    "Evidence",
    "ExplainOptions",
    "Explanation",
    "Faithfulness",
    "GenerateOptions",
    "Generation",
    "Language",
    "Limelight",
    "LimelightError",
    "MemoryMatch",
    "MethodExplanation",
    "Model",
    "Prediction",
    "Sentence",
    "ShareOfUnits",
    "Step",
    "StoredGlossary",
    "Surface",
    "TargetToken",
    "TimedOut",
    "Token",
    "TokenLogprob",
    "TranslateOptions",
    "Translation",
    "UsedTerm",
]
