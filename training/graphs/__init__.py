"""ONNX graphs: one module per network describes its graphs and compares them with PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from service.bundle.manifest import Architecture, AttentionOutput, Graph


@dataclass(frozen=True)
class Description:
    """A network as a set of ONNX graphs."""

    architecture: Architecture
    graphs: list[Graph]
    wrappers: list[nn.Module]
    """One module per graph. It adds the steps that only serving needs: masks from lengths, softmax, tensor names."""
    attention: list[AttentionOutput]
    check: Callable[[Path], None]
    """Compare the graphs in a folder with the network. Raises ParityError."""


def parameters(network: nn.Module) -> int:
    """Number of trained values. Tied parameters count once."""
    return sum(parameter.numel() for parameter in network.parameters())
