"""Recurrent encoders: a vanilla RNN, an LSTM or a GRU over texts of their true lengths.

Legend: B batch, S text length, E embedding, H hidden size, R directions (1 or 2).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CellName = Literal["rnn", "lstm", "gru"]
CELLS: dict[CellName, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(nn.Module):
    """Layers of one cell, one or two directions.

    Each text is read to its own length (packed sequences; `sequence_lens` in ONNX), so that padding
    never changes a state and a text alone equals the same text in a batch.
    """

    def __init__(self, cell: CellName, input_size: int, hidden: int, layers: int, bidirectional: bool, dropout: float):
        super().__init__()
        self.layers = CELLS[cell](
            input_size,
            hidden,
            num_layers=layers,
            bidirectional=bidirectional,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.directions = 2 if bidirectional else 1
        self.hidden = hidden
        self.output_size = hidden * self.directions

    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """embedded [B, S, E], lengths [B] (on the CPU) -> states [B, S, R*H], last states [B, R*H].

        The last states are those of the top layer after the whole text: at the last token for the forward
        direction, at the first for the backward one.
        """
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        packed_states, _ = self.layers(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=embedded.size(1))
        # Read from the states, not from what the cell returns last: the exporter needs the states to be used.
        ends = (lengths - 1).to(states.device)[:, None, None].expand(-1, 1, self.hidden)
        last = states[:, :, : self.hidden].gather(1, ends)[:, 0]
        if self.directions == 2:
            last = torch.cat([last, states[:, 0, self.hidden :]], dim=-1)
        return states, last
