"""Language models: a recurrent network, and a Transformer decoder without a source.

Legend: B texts, T new tokens, P past tokens, V vocabulary, E embedding, D size, L layers, N heads, K size per head.

A text is read in segments. `forward` takes the state of the previous segment and returns its own: in training
(truncated back-propagation through time, Mikolov et al. 2010), in evaluation, and token by token in serving. Attention
sees at most `window` tokens, the current one included, so that texts have no maximum length.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, KeysValues
from training.networks.recurrent import CELLS, CellName
from training.networks.transformer import EncoderLayer, NormName, TransformerConfig
from training.section import Section

PastScoreName = Literal["dot", "scaled_dot", "general", "additive"]


class RecurrentLanguageConfig(Section):
    """Sizes and choices of a RecurrentLanguageModel; the section `network` of a recipe."""

    network: Literal["recurrent"]
    cell: CellName = "lstm"
    embedding: int = Field(default=128, gt=0)
    size: int = Field(default=512, gt=0)
    layers: int = Field(default=1, gt=0)
    attention: PastScoreName | Literal["none"] = "none"
    """Score function of attention to earlier states."""
    window: int = Field(default=128, gt=1)
    """Maximum number of visible tokens, the current one included."""
    dropout: float = Field(default=0.3, ge=0, lt=1)


class TransformerLanguageConfig(Section):
    """Sizes and choices of a TransformerLanguageModel; the section `network` of a recipe."""

    network: Literal["decoder"]
    size: int = Field(default=256, gt=0)
    heads: int = Field(default=4, gt=0)
    layers: int = Field(default=4, gt=0)
    feed_forward: int = Field(default=1024, gt=0)
    window: int = Field(default=128, gt=1)
    """Maximum number of visible tokens in each layer, the current one included."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    norm: NormName = "pre"


@dataclass
class LanguageModelState:
    """State between two segments of a text. Parts that a network does not have are None."""

    hidden: Tensor | None = None
    """[B, L, D], of a recurrent network."""
    cell: Tensor | None = None
    """[B, L, D], of an LSTM."""
    keys_values: list[KeysValues] | None = None
    """Per attention layer, [B, P, D] (recurrent) or [B, N, P, K] (Transformer), of the last `window` - 1 tokens."""

    def detach(self) -> "LanguageModelState":
        """The same values without gradients."""
        return LanguageModelState(
            None if self.hidden is None else self.hidden.detach(),
            None if self.cell is None else self.cell.detach(),
            self.keys_values and [(keys.detach(), values.detach()) for keys, values in self.keys_values],
        )


@dataclass
class LanguageModelOutput:
    """Output of `forward` for one segment."""

    states: Tensor
    """[B, T, D], the input of `logits`."""
    state: LanguageModelState
    """State after the segment."""
    weights: list[Tensor]
    """Per attention layer [B, T, P+T] (recurrent) or [B, N, T, P+T]; every row sums to 1."""


def window_mask(new: int, past: int, window: int, device: torch.device | None = None) -> Tensor:
    """bool [T, P+T]: each new token sees itself and the `window` - 1 tokens before it.

    >>> window_mask(new=2, past=1, window=2).tolist()
    [[True, True, False], [False, True, True]]
    """
    distance = distances(new, past, device)
    return (distance >= 0) & (distance < window)


def distances(new: int, past: int, device: torch.device | None = None) -> Tensor:
    """[T, P+T]: positions from each key back to it from each new token; negative for later keys."""
    places = torch.arange(past + new, device=device)
    return places[past:, None] - places[None, :]


class RecurrentLanguageModel(nn.Module):
    """Layers of one cell type, optionally with attention to earlier states.

    With attention, the output is tanh(W [context; state]) (Luong et al. 2015, eq. 5) over the network's own past
    states (Daniluk et al. 2017, without separate keys and values).
    """

    def __init__(self, config: RecurrentLanguageConfig, vocabulary: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        between = config.dropout if config.layers > 1 else 0.0
        self.layers = CELLS[config.cell](
            config.embedding, config.size, num_layers=config.layers, batch_first=True, dropout=between
        )
        self.attention = None
        if config.attention != "none":
            self.attention = ATTENTIONS[config.attention](config.size, config.size, config.window)
            self.combine = nn.Linear(2 * config.size, config.size, bias=False)
        self.output = nn.Linear(config.size, vocabulary)
        self.dropout = nn.Dropout(config.dropout)

    def initial_state(self, batch: int) -> LanguageModelState:
        """State before the first token of `batch` texts."""
        zeros = self.output.weight.new_zeros
        state = zeros(batch, self.config.layers, self.config.size)
        past = zeros(batch, 0, self.config.size)
        return LanguageModelState(
            state,
            torch.zeros_like(state) if self.config.cell == "lstm" else None,
            None if self.attention is None else [(past, past)],
        )

    def forward(self, token_ids: Tensor, state: LanguageModelState, mask: Tensor | None = None) -> LanguageModelOutput:
        """Read token_ids [B, T] after a state.

        mask: visible keys, bool and broadcastable to [B, T, P+T]; the window by default.
        """
        assert state.hidden is not None
        x = self.dropout(self.embedding(token_ids))
        hidden = state.hidden.to(x.dtype).transpose(0, 1).contiguous()
        if state.cell is not None:
            cell = state.cell.to(x.dtype).transpose(0, 1).contiguous()
            states, (hidden, cell) = self.layers(x, (hidden, cell))
            following = LanguageModelState(hidden.transpose(0, 1), cell.transpose(0, 1))
        else:
            states, hidden = self.layers(x, hidden)
            following = LanguageModelState(hidden.transpose(0, 1))
        if self.attention is None:
            return LanguageModelOutput(self.dropout(states), following, [])
        assert state.keys_values is not None
        [(past_keys, past_values)] = state.keys_values
        if mask is None:
            mask = window_mask(states.size(1), past_keys.size(1), self.config.window, states.device)
        keys = torch.cat([past_keys.to(states.dtype), self.attention.project(states)], 1)
        values = torch.cat([past_values.to(states.dtype), states], 1)
        context, weights = self.attention.attend(states, keys, values, mask)
        kept = self.config.window - 1
        following.keys_values = [(keys[:, -kept:], values[:, -kept:])]
        combined = torch.tanh(self.combine(torch.cat([context, states], -1)))
        return LanguageModelOutput(self.dropout(combined), following, [weights])

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> logits of the next token [..., V]."""
        scores: Tensor = self.output(states)
        return scores


class TransformerLanguageModel(nn.Module):
    """A Transformer decoder without a source.

    Positions enter as distances: every head subtracts a multiple of the distance from its scores, each with its own
    slope (ALiBi, Press, Smith and Lewis 2022). Texts have no maximum length.
    """

    def __init__(self, config: TransformerLanguageConfig, vocabulary: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        layer = TransformerConfig(
            network="transformer",
            size=config.size,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
            norm=config.norm,
        )
        self.embedding = nn.Embedding(vocabulary, config.size)
        self.layers = nn.ModuleList(EncoderLayer(layer) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.size) if config.norm == "pre" else nn.Identity()
        self.output = nn.Linear(config.size, vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "embedding.weight":
                nn.init.xavier_uniform_(parameter)

    def initial_state(self, batch: int) -> LanguageModelState:
        """State before the first token of `batch` texts."""
        config = self.config
        past = self.output.weight.new_zeros(batch, config.heads, 0, config.size // config.heads)
        return LanguageModelState(keys_values=[(past, past)] * config.layers)

    def bias(self, new: int, past: int, visible: Tensor) -> Tensor:
        """Bias of the scores [1 or B, N, T, P+T], minus infinity for hidden keys.

        visible bool, broadcastable to [B, 1, T, P+T].
        """
        heads = self.config.heads
        slopes = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1, device=visible.device))
        decrease = -slopes[:, None, None] * distances(new, past, visible.device)
        return decrease[None].masked_fill(~visible, -math.inf)

    def forward(self, token_ids: Tensor, state: LanguageModelState, mask: Tensor | None = None) -> LanguageModelOutput:
        """Read token_ids [B, T] after a state.

        mask: visible keys, bool and broadcastable to [B, T, P+T]; the window by default.
        """
        assert state.keys_values is not None
        new, past = token_ids.size(1), state.keys_values[0][0].size(2)
        if mask is None:
            mask = window_mask(new, past, self.config.window, token_ids.device)[None]
        bias = self.bias(new, past, mask[:, None])
        x = self.dropout(self.embedding(token_ids))
        kept = self.config.window - 1
        following: list[KeysValues] = []
        all_weights = []
        for layer, layer_past in zip(self.layers, state.keys_values, strict=True):
            x, weights, (keys, values) = layer(x, bias, layer_past)
            following.append((keys[:, :, -kept:], values[:, :, -kept:]))
            all_weights.append(weights)
        return LanguageModelOutput(self.norm(x), LanguageModelState(keys_values=following), all_weights)

    def logits(self, states: Tensor) -> Tensor:
        """states [..., D] -> logits of the next token [..., V]."""
        scores: Tensor = self.output(states)
        return scores


LanguageModel = RecurrentLanguageModel | TransformerLanguageModel
