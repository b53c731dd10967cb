"""Language models: the next token from those before it, by a recurrent network or by a Transformer's decoder alone.

Legend: B texts side by side, T new tokens, P past ones, V vocabulary, E embedding, D size, L layers, N heads, K size
per head.

A text is read stretch by stretch: `forward` takes the memory that the stretch before left and leaves its own, in
training (truncated back-propagation through time, Mikolov et al. 2010), in evaluation and token by token in serving.
Attention looks at most `window` tokens back, itself included, so that a text has no longest length.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, KeysValues
from training.networks.recurrent import CELLS, CellName
from training.networks.transformer import EncoderLayer, NormName, TransformerConfig

PastScoreName = Literal["dot", "scaled_dot", "general", "additive"]


@dataclass(frozen=True)
class RecurrentLanguageConfig:
    vocabulary: int
    cell: CellName = "lstm"
    embedding: int = 128
    size: int = 512
    layers: int = 1
    attention: PastScoreName | None = None
    """How a state scores those before it; None: nothing looks back."""
    window: int = 128
    dropout: float = 0.3


@dataclass(frozen=True)
class TransformerLanguageConfig:
    vocabulary: int
    size: int = 256
    heads: int = 4
    layers: int = 4
    feed_forward: int = 1024
    window: int = 128
    dropout: float = 0.2
    norm: NormName = "pre"


@dataclass
class Memory:
    """What a network carries from one stretch of a text to the next. What it never reads is None or empty."""

    hidden: Tensor | None = None
    """[B, L, D], of a recurrent network."""
    cell: Tensor | None = None
    """[B, L, D], of an LSTM."""
    keys_values: list[KeysValues] | None = None
    """Per layer that looks back, [B, P, D] (recurrent) or [B, N, P, K] (Transformer), the last `window` - 1 tokens."""

    def detach(self) -> "Memory":
        """The same numbers, through which no gradient flows back."""
        return Memory(
            None if self.hidden is None else self.hidden.detach(),
            None if self.cell is None else self.cell.detach(),
            self.keys_values and [(keys.detach(), values.detach()) for keys, values in self.keys_values],
        )


@dataclass
class Read:
    states: Tensor
    """[B, T, D]; `logits` turns them into scores of the vocabulary."""
    memory: Memory
    weights: list[Tensor]
    """Per layer that looks back: [B, T, P+T] (recurrent) or [B, N, T, P+T]; every row sums to 1."""


def looking_back(new: int, past: int, window: int, device: torch.device | None = None) -> Tensor:
    """bool [T, P+T]: each new token sees itself and the `window` - 1 before it.

    >>> looking_back(new=2, past=1, window=2).tolist()
    [[True, True, False], [False, True, True]]
    """
    distance = distances(new, past, device)
    return (distance >= 0) & (distance < window)


def distances(new: int, past: int, device: torch.device | None = None) -> Tensor:
    """[T, P+T]: how many places each key is before each new token; negative behind it."""
    places = torch.arange(past + new, device=device)
    return places[past:, None] - places[None, :]


class RecurrentLanguageModel(nn.Module):
    """Layers of one cell. With attention the state after each token looks at those after the tokens before it, and both
    go on together (Luong et al. 2015, eq. 5, at the network's own past; Daniluk et al. 2017, the plain form)."""

    def __init__(self, config: RecurrentLanguageConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        between = config.dropout if config.layers > 1 else 0.0
        self.layers = CELLS[config.cell](
            config.embedding, config.size, num_layers=config.layers, batch_first=True, dropout=between
        )
        self.attention = None
        if config.attention is not None:
            self.attention = ATTENTIONS[config.attention](config.size, config.size, config.window)
            self.combine = nn.Linear(2 * config.size, config.size, bias=False)
        self.output = nn.Linear(config.size, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)

    def first_memory(self, batch: int) -> Memory:
        """Before the first token of so many texts."""
        zeros = self.output.weight.new_zeros
        state = zeros(batch, self.config.layers, self.config.size)
        past = zeros(batch, 0, self.config.size)
        return Memory(
            state,
            torch.zeros_like(state) if self.config.cell == "lstm" else None,
            None if self.attention is None else [(past, past)],
        )

    def forward(self, token_ids: Tensor, memory: Memory, mask: Tensor | None = None) -> Read:
        """token_ids [B, T] read after what the memory holds. `mask` says what may be looked at, bool and broadcastable
        to [B, T, P+T]; by default the window."""
        assert memory.hidden is not None
        x = self.dropout(self.embedding(token_ids))
        hidden = memory.hidden.to(x.dtype).transpose(0, 1).contiguous()
        if memory.cell is not None:
            cell = memory.cell.to(x.dtype).transpose(0, 1).contiguous()
            states, (hidden, cell) = self.layers(x, (hidden, cell))
            after = Memory(hidden.transpose(0, 1), cell.transpose(0, 1))
        else:
            states, hidden = self.layers(x, hidden)
            after = Memory(hidden.transpose(0, 1))
        if self.attention is None:
            return Read(self.dropout(states), after, [])
        assert memory.keys_values is not None
        [(past_keys, past_values)] = memory.keys_values
        if mask is None:
            mask = looking_back(states.size(1), past_keys.size(1), self.config.window, states.device)
        keys = torch.cat([past_keys.to(states.dtype), self.attention.project(states)], 1)
        values = torch.cat([past_values.to(states.dtype), states], 1)
        context, weights = self.attention.look(states, keys, values, mask)
        most = self.config.window - 1
        after.keys_values = [(keys[:, -most:], values[:, -most:])]
        combined = torch.tanh(self.combine(torch.cat([context, states], -1)))
        return Read(self.dropout(combined), after, [weights])

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> [..., V]: how well each token of the vocabulary would come next."""
        scores: Tensor = self.output(states)
        return scores


class TransformerLanguageModel(nn.Module):
    """A Transformer's decoder without a source. It knows places by their distance: every head's scores fall off
    linearly with it, each at its own rate (ALiBi, Press, Smith and Lewis 2022), so that it reads on for ever."""

    def __init__(self, config: TransformerLanguageConfig):
        super().__init__()
        self.config = config
        layer = TransformerConfig(
            vocabulary=config.vocabulary,
            size=config.size,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
            norm=config.norm,
        )
        self.embedding = nn.Embedding(config.vocabulary, config.size)
        self.layers = nn.ModuleList(EncoderLayer(layer) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.output = nn.Linear(config.size, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embedding.weight":
                nn.init.xavier_uniform_(parameter)

    def first_memory(self, batch: int) -> Memory:
        """Before the first token of so many texts."""
        config = self.config
        past = self.output.weight.new_zeros(batch, config.heads, 0, config.size // config.heads)
        return Memory(keys_values=[(past, past)] * config.layers)

    def bias(self, new: int, past: int, seen: Tensor) -> Tensor:
        """What is added to the scores: [1 or B, N, T, P+T], minus infinity where nothing may be looked at.

        seen bool, broadcastable to [B, 1, T, P+T].
        """
        heads = self.config.heads
        rates = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1, device=seen.device))
        fall = -rates[:, None, None] * distances(new, past, seen.device)
        return fall[None].masked_fill(~seen, -math.inf)

    def forward(self, token_ids: Tensor, memory: Memory, mask: Tensor | None = None) -> Read:
        """token_ids [B, T] read after what the memory holds. `mask` says what may be looked at, bool and broadcastable
        to [B, T, P+T]; by default the window."""
        assert memory.keys_values is not None
        new, past = token_ids.size(1), memory.keys_values[0][0].size(2)
        if mask is None:
            mask = looking_back(new, past, self.config.window, token_ids.device)[None]
        bias = self.bias(new, past, mask[:, None])
        x = self.dropout(self.embedding(token_ids))
        most = self.config.window - 1
        after: list[KeysValues] = []
        looked = []
        for layer, layer_past in zip(self.layers, memory.keys_values, strict=True):
            x, weights, (keys, values) = layer(x, bias, layer_past)
            after.append((keys[:, :, -most:], values[:, :, -most:]))
            looked.append(weights)
        return Read(self.norm(x), Memory(keys_values=after), looked)

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> [..., V]: how well each token of the vocabulary would come next."""
        scores: Tensor = self.output(states)
        return scores


LanguageModel = RecurrentLanguageModel | TransformerLanguageModel
