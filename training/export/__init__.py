"""Export: a trained network becomes a bundle. One module per task; `bundle` writes all of them."""

from dataclasses import dataclass
from typing import Any

from service.bundle.golden import AnyGolden
from service.bundle.manifest import Graph
from training.graphs import Description


@dataclass(frozen=True)
class Content:
    """The task's part of a bundle. Its graphs and tokenizer are written to the folder."""

    described: Description
    graphs: list[Graph]
    """Graphs of every precision."""
    golden: AnyGolden
    """The recipe's examples with the answers of the PyTorch network."""
    fields: dict[str, Any]
    """Fields of the manifest that depend on the task."""
