"""What each network becomes: its ONNX graphs, and how they are compared with PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph


@dataclass(frozen=True)
class Description:
    """What `export` needs to know of a network."""

    architecture: Architecture
    graphs: list[Graph]
    wrappers: list[nn.Module]
    """One a graph: the network with what only serving needs (names, masks from lengths, softmax)."""
    attention: list[AttentionOutput]
    check: Callable[[Path], None]
    """Compares the graphs written into a folder with the network. Raises ParityError."""


def parameters(network: nn.Module) -> int:
    """How many numbers a network learned; tied ones count once."""
    return sum(parameter.numel() for parameter in network.parameters())
