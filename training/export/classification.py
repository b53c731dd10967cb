"""Export of classifiers."""

from pathlib import Path

from service.bundle.manifest import Limits
from training.export import Content, golden
from training.graphs import classifier
from training.graphs.trace import write_graphs
from training.tasks import ClassificationTask


def write(task: ClassificationTask, folder: Path) -> Content:
    """Write graph and tokenizer. Raises ParityError."""
    described = classifier.describe(task.network)
    write_graphs(task.network, described, folder)
    task.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return Content(
        described,
        described.graphs,
        golden.classification(task),
        {
            "labels": task.labels,
            "tokenizers": {"text": "tokenizer.json"},
            "limits": Limits(max_tokens=task.recipe.limits.max_tokens),
        },
    )
