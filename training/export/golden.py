"""Golden cases: the recipe's examples with the answers of the PyTorch network, as the service returns them.

Legend: T target length, S source length.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from service.bundle.conventions import max_target_length
from service.bundle.golden import (
    ClassificationAnswer,
    ClassificationCase,
    ClassificationGolden,
    GenerationAnswer,
    GenerationCase,
    GenerationGolden,
    TranslationAnswer,
    TranslationCase,
    TranslationGolden,
)
from service.bundle.manifest import Precision
from training.tasks import ClassificationTask, GenerationTask, TranslationTask

TOLERANCE = 1e-3
TOLERANCES: dict[Precision, float] = {"int8": 0.05}
"""Maximum difference of scores and attention weights between a precision and PyTorch."""
MAX_TOKENS = 30
"""Maximum tokens of a golden continuation."""


def classification(task: ClassificationTask) -> ClassificationGolden:
    """Golden cases of a classifier."""
    cases = [ClassificationCase(text=text, answer=classify(task, text)) for text in task.recipe.examples]
    return ClassificationGolden(tolerance=TOLERANCE, tolerances=TOLERANCES, cases=cases)


def translation(task: TranslationTask, translations: Iterable["GreedyTranslation"]) -> TranslationGolden:
    """Golden cases of a translator, from the translations of the examples."""
    cases = [
        TranslationCase(text=text, answer=found.answer(task))
        for text, found in zip(task.recipe.examples, translations, strict=True)
    ]
    return TranslationGolden(tolerance=TOLERANCE, tolerances=TOLERANCES, cases=cases)


def generation(task: GenerationTask, never: list[int]) -> GenerationGolden:
    """Golden cases of a language model. `never` lists excluded ids."""
    cases = [
        GenerationCase(text=text, max_tokens=MAX_TOKENS, answer=continue_prompt(task, text, never))
        for text in task.recipe.examples
    ]
    return GenerationGolden(tolerance=TOLERANCE, tolerances=TOLERANCES, cases=cases)


@torch.no_grad()
def classify(task: ClassificationTask, text: str) -> ClassificationAnswer:
    """Scores of the labels, and the attention weights."""
    ids = task.tokenizer.encode(text).ids
    logits, weights = task.network(torch.tensor([ids]), torch.tensor([len(ids)]))
    scores = dict(zip(task.labels, logits[0].softmax(-1).tolist(), strict=True))
    return ClassificationAnswer(scores=scores, attention=None if weights is None else weights[0].tolist())


@dataclass(frozen=True)
class GreedyTranslation:
    """A greedy translation by PyTorch."""

    source_ids: list[int]
    target_ids: list[int]
    """From <s> to </s>."""
    score: float
    """Mean log-probability of the target tokens."""
    weights: Tensor | None
    """[T, S]: the alignment."""

    def answer(self, task: TranslationTask) -> TranslationAnswer:
        """The golden answer."""
        attention = None if self.weights is None else self.weights.tolist()
        text = task.tokenizer.decode(self.target_ids)
        return TranslationAnswer(translation=text, score=self.score, attention=attention)


@torch.no_grad()
def translate(task: TranslationTask, text: str, never: list[int]) -> GreedyTranslation:
    """Translate greedily. Each step decodes the whole prefix: no cache, no batch. `never` lists excluded ids."""
    source_ids = [*task.tokenizer.encode(text, add_special_tokens=False).ids, task.eos_id]
    max_length = max_target_length(len(source_ids))
    target, total = [task.bos_id], 0.0
    while target[-1] != task.eos_id:
        decoded = task.network(torch.tensor([source_ids]), torch.tensor([target]))
        log_probs = task.network.logits(decoded.states[0, -1]).log_softmax(-1)
        log_probs[never] = -torch.inf
        token = int(log_probs.argmax()) if len(target) <= max_length else task.eos_id
        total += float(log_probs[token])
        target.append(token)
    weights = decoded.alignment(task.recipe.summary_layer)
    alignment = None if weights is None else weights[0, : len(target) - 2]
    return GreedyTranslation(source_ids, target, total / (len(target) - 1), alignment)


@torch.no_grad()
def continue_prompt(task: GenerationTask, prompt: str, never: list[int]) -> GenerationAnswer:
    """Continue a prompt greedily. Each step reads the whole text: no cache. `never` lists excluded ids."""
    ids = task.tokenizer.encode(prompt).ids
    continuation: list[int] = []
    total = 0.0
    while len(continuation) < MAX_TOKENS:
        output = task.network(torch.tensor([[*ids, *continuation]]), task.network.initial_state(1))
        log_probs = task.network.logits(output.states[0, -1]).log_softmax(-1)
        log_probs[never] = -torch.inf
        token = int(log_probs.argmax())
        if token == task.eos_id:
            break
        total += float(log_probs[token])
        continuation.append(token)
    summary = next((weights for n, weights in enumerate(output.weights) if n == task.recipe.summary_layer), None)
    if summary is not None:  # only rows that chose a token; heads are averaged
        summary = (summary[0] if summary.dim() == 3 else summary[0].mean(0))[len(ids) - 1 :]
    return GenerationAnswer(
        text=task.tokenizer.decode(continuation),
        log_prob=total,
        attention=None if summary is None else summary.tolist(),
    )
