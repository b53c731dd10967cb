"""Attention matrices in the form of BertViz (https://github.com/jessevig/bertviz)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from limelight_client.results import Attention


def layers(matrices: Sequence[Attention], kind: str) -> list[Any]:
    """Return one torch tensor [1, heads, queries, keys] per layer.

    Raises ValueError if no matrix is of this kind, and ImportError without torch.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_bertviz() needs torch: pip install 'limelight-client[bertviz]'") from None
    found: dict[int, list[Any]] = {}
    for matrix in matrices:
        if matrix.kind == kind:
            found.setdefault(matrix.layer or 0, []).append(matrix.weights)
    if not found:
        raise ValueError(f'no {kind} attention in this result; request attention="full" from a model that has it')
    return [torch.from_numpy(np.stack(found[layer])).unsqueeze(0) for layer in sorted(found)]


def pad(layer: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Add rows and columns of zeros before and after."""
    import torch

    return torch.nn.functional.pad(layer, (*columns, *rows))
