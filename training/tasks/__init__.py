"""Tasks: one module per task defines examples, batches, loss and metrics. `training.fit` trains all of them.

Legend: B batch, S source or text length, T target length, C classes.
"""

from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe
from training.tasks.classification import ClassificationTask, build_classifier
from training.tasks.generation import GenerationTask, build_language_model
from training.tasks.task import Batch, Task
from training.tasks.translation import TranslationTask, build_translator

__all__ = [
    "AnyTask",
    "Batch",
    "ClassificationTask",
    "GenerationTask",
    "Task",
    "TranslationTask",
    "build_classifier",
    "build_language_model",
    "build_translator",
    "new_task",
]

AnyTask = ClassificationTask | TranslationTask | GenerationTask


def new_task(recipe: AnyRecipe) -> AnyTask:
    """A task with a new tokenizer, trained on the training split, and a network with random weights."""
    if isinstance(recipe, GenerationRecipe):
        return GenerationTask.new(recipe)
    if isinstance(recipe, ClassificationRecipe):
        return ClassificationTask.new(recipe)
    return TranslationTask.new(recipe)
