"""Recurrent encoders: a vanilla RNN, an LSTM or a GRU over texts of their true lengths.

Legend: B batch, S text length, E embedding, H hidden size, R directions (1 or 2).
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CellName = Literal["rnn", "lstm", "gru"]
CELLS: dict[CellName, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
READERS: dict[CellName, Callable[..., tuple[Tensor, ...]]] = {
    "rnn": torch.rnn_tanh,
    "lstm": torch.lstm,
    "gru": torch.gru,
}


class RecurrentEncoder(nn.Module):
    """Layers of one cell, one or two directions.

    Each text is read to its own length, so that padding never changes a state and a text alone equals the same
    text in a batch.
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
        self.cell = cell
        self.directions = 2 if bidirectional else 1
        self.hidden = hidden
        self.output_size = hidden * self.directions

    def forward(self, embedded: Tensor, lengths: Tensor, looked_at: bool = True) -> tuple[Tensor, Tensor]:
        """embedded [B, S, E], lengths [B] (on the CPU) -> states [B, S, R*H], last states [B, R*H].

        The last states are those of the top layer after the whole text: at the last token for the forward
        direction, at the first for the backward one. `looked_at`: whether anybody but them uses the states.
        """
        if torch.onnx.is_in_onnx_export():
            states, last = self.packed(embedded, lengths)
            if looked_at:
                return states, last
            # The exporter needs the states to be used: the last ones are found among them.
        else:
            states = self.padded(embedded, lengths)
        return states, self.ends(states, lengths)

    def ends(self, states: Tensor, lengths: Tensor) -> Tensor:
        """The last states [B, R*H], found among all of them [B, S, R*H]."""
        ends = (lengths - 1).to(states.device)[:, None, None].expand(-1, 1, self.hidden)
        last = states[:, :, : self.hidden].gather(1, ends)[:, 0]
        if self.directions == 2:
            last = torch.cat([last, states[:, 0, self.hidden :]], dim=-1)
        return last

    def packed(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The same by packed sequences, which ONNX knows as `sequence_lens`: what is exported.

        ONNX takes lengths in any order, so nothing has to sort the texts and put them back: they are said to be sorted,
        as those are that the graph is traced with.
        """
        packed_states, cell = self.layers(pack_padded_sequence(embedded, lengths, batch_first=True))
        states = pad_packed_sequence(packed_states, batch_first=True, total_length=embedded.size(1))[0]
        last = cell[0] if self.cell == "lstm" else cell
        return states, last[-self.directions :].transpose(0, 1).flatten(1)

    def padded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """The same states by padded tensors, which the CPU's fused LSTM needs: 3 to 13 times faster in training.

        Padding on the right changes nothing for a left-to-right reader, so the backward direction reads each text
        turned round within its own length.
        """
        lengths = lengths.to(embedded.device)
        places = torch.arange(embedded.size(1), device=embedded.device).expand(embedded.size(0), -1)
        real = places < lengths[:, None]
        turned = torch.where(real, lengths[:, None] - 1 - places, places)[..., None]
        states = embedded
        for layer in range(self.layers.num_layers):
            if layer:
                states = F.dropout(states, self.layers.dropout, self.training)
            around = turned.expand_as(states)
            read = [self.read(states, f"l{layer}")]
            if self.directions == 2:
                backward = self.read(states.gather(1, around), f"l{layer}_reverse")
                read.append(backward.gather(1, turned.expand_as(backward)))
            states = torch.cat(read, dim=-1)
        return states * real[..., None]

    def read(self, x: Tensor, name: str) -> Tensor:
        """x [B, S, .] from left to right by the layer and direction of that name -> its states [B, S, H]."""
        weights = [getattr(self.layers, f"{part}_{name}") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        zero = x.new_zeros(1, x.size(0), self.hidden)
        first = (zero, zero) if self.cell == "lstm" else zero
        states: Tensor = READERS[self.cell](x, first, weights, True, 1, 0.0, self.training, False, True)[0]
        return states
