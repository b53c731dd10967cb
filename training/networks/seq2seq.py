"""Recurrent translators: Bahdanau's and Luong's attention, and the model without attention (Sutskever et al. 2014).

Legend: B sentences, R rows, S source length, T target length, E embedding, D state size, L decoder layers,
V vocabulary.

Bahdanau's decoder attends with the state before a token, and reads the context together with the token. Luong's
decoder reads the token first and attends with the state after it. Both compute one vector of size E per position. One
matrix is source, target and output embedding.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, Attention, LocalAttention, LocalName, ScoreName
from training.networks.recurrent import CELLS, RecurrentEncoder
from training.section import Section

DecoderName = Literal["bahdanau", "luong"]


class Seq2SeqConfig(Section):
    """Sizes and choices of a Seq2Seq network; the section `network` of a recipe."""

    network: Literal["seq2seq"]
    decoder: DecoderName = "luong"
    """Attention before a token is read (bahdanau), or after it (luong)."""
    attention: ScoreName | Literal["none"] = "general"
    input_feeding: bool = False
    """Read the vector of a position together with the next token (Luong et al. 2015, section 3.3)."""
    local: LocalName | None = None
    """Attend only to a window, around the target position (monotonic) or a computed position (predictive)."""
    window: int = Field(default=10, gt=0)
    """Number of visible tokens on each side of the centre of local attention."""
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = Field(default=256, gt=0)
    size: int = Field(default=256, gt=0, multiple_of=2)
    """D: size of the decoder state, and of both encoder directions together."""
    encoder_layers: int = Field(default=1, gt=0)
    decoder_layers: int = Field(default=1, gt=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)


@dataclass
class Encoded:
    """The encoded source."""

    states: Tensor | None
    """[B, S, D]; None without attention."""
    keys: Tensor | None
    """[B, S, .]: the states after the attention's key projection."""
    mask: Tensor | None
    """bool [B, S], True at tokens."""
    initial: "DecoderState"
    """Decoder state before the first token."""


@dataclass
class DecoderState:
    """State between two positions of the target. Parts that a network does not have are None."""

    hidden: Tensor
    """[B, L, D]"""
    cell: Tensor | None
    """[B, L, D], of an LSTM."""
    fed: Tensor | None
    """[B, E]: vector of the last position, for input feeding."""
    position: Tensor | None
    """[B]: number of tokens read, for monotonic local attention."""


@dataclass
class Decoded:
    """Output of the decoder for T positions."""

    states: Tensor
    """[B, T, E], the input of `Seq2Seq.logits`."""
    state: DecoderState
    """State after the last position."""
    weights: Tensor | None
    """[B, T, S]; None without attention."""

    def alignment(self, layer: int) -> Tensor | None:
        """The weights [B, T, S] shown as alignment. There is one attention layer, so `layer` is ignored."""
        return self.weights


class Seq2Seq(nn.Module):
    """A bidirectional encoder and a recurrent decoder with attention to the encoder states.

    max_length: maximum source length, the size of `location` attention.
    """

    def __init__(self, config: Seq2SeqConfig, vocabulary: int, max_length: int, pad_id: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.pad_id = pad_id
        size, embedding = config.size, config.embedding
        self.embedding = nn.Embedding(vocabulary, embedding)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        self.encoder = RecurrentEncoder(
            config.cell, embedding, size // 2, config.encoder_layers, bidirectional=True, dropout=config.dropout
        )
        self.bridge = nn.Linear(size, config.decoder_layers * size)
        self.attention: Attention | LocalAttention | None = None
        if config.attention != "none":
            inner = ATTENTIONS[config.attention](size, size, max_length)
            self.attention = LocalAttention(inner, config.local, size, config.window) if config.local else inner
        attends_first = self.attends_first
        input_size = embedding + size * attends_first + embedding * self.feeds_input
        dropout = config.dropout if config.decoder_layers > 1 else 0.0
        self.layers = CELLS[config.cell](
            input_size, size, num_layers=config.decoder_layers, batch_first=True, dropout=dropout
        )
        combined = size + size * (self.attention is not None) + embedding * attends_first
        self.combine = nn.Linear(combined, embedding, bias=attends_first)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def attends_first(self) -> bool:
        """True if attention comes before the token is read (Bahdanau)."""
        return self.attention is not None and self.config.decoder == "bahdanau"

    @property
    def feeds_input(self) -> bool:
        """True if the vector of a position is read together with the next token."""
        return self.config.input_feeding and not self.attends_first

    def encode(self, source_ids: Tensor, mask: Tensor) -> Encoded:
        """Encode source_ids [B, S]; mask bool [B, S], True at tokens."""
        embedded = self.dropout(self.embedding(source_ids))
        states, last = self.encoder(embedded, mask.sum(1).cpu(), needs_states=self.attention is not None)
        hidden = torch.tanh(self.bridge(last)).unflatten(1, (self.config.decoder_layers, -1))
        batch, zeros = states.size(0), hidden.new_zeros
        initial = DecoderState(hidden, torch.zeros_like(hidden), zeros(batch, self.config.embedding), zeros(batch))
        states = self.dropout(states)
        keys = states if self.attention is None else self.attention.project(states)
        return Encoded(states, keys, mask, initial)

    def attend(self, queries: Tensor, encoded: Encoded, position: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend to the source. W = R / B consecutive rows share a source.

        queries [R, Q, D], target position of the first query [R] -> contexts [R, Q, D], weights [R, Q, S].
        """
        assert self.attention is not None and encoded.states is not None and encoded.mask is not None
        assert encoded.keys is not None
        mask = encoded.mask[:, None, :]
        grouped = queries.reshape(mask.size(0), -1, queries.size(2))  # [B, W*Q, D]: no copy of the source per row
        if isinstance(self.attention, LocalAttention):
            positions = None
            if position is not None:
                positions = position[:, None] + torch.arange(queries.size(1), device=queries.device)
                positions = positions.reshape(mask.size(0), -1)
            contexts, weights = self.attention.attend(grouped, encoded.keys, encoded.states, mask, positions)
        else:
            contexts, weights = self.attention.attend(grouped, encoded.keys, encoded.states, mask)
        rows = queries.shape[:2]
        return contexts.reshape(*rows, -1), weights.reshape(*rows, -1)

    def run_cell(self, x: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, Tensor | None]:
        """x [B, T, .] -> states of the top layer [B, T, D], new hidden and cell [B, L, D]."""
        hidden = state.hidden.to(x.dtype).transpose(0, 1).contiguous()
        if state.cell is not None and self.config.cell == "lstm":
            cell = state.cell.to(x.dtype).transpose(0, 1).contiguous()
            states, (hidden, cell) = self.layers(x, (hidden, cell))
            return states, hidden.transpose(0, 1), cell.transpose(0, 1)
        states, hidden = self.layers(x, hidden)
        return states, hidden.transpose(0, 1), state.cell

    def advance(self, embedded: Tensor, encoded: Encoded, state: DecoderState) -> Decoded:
        """Decode embedded [B, T, E] in one call. T is 1 if a position depends on the vector before it."""
        weights = None
        if self.attends_first:
            context, weights = self.attend(state.hidden[:, -1:], encoded, state.position)
            states, hidden, cell = self.run_cell(torch.cat([embedded, context], -1), state)
            combined = self.combine(torch.cat([states, context, embedded], -1))
        else:
            fed = [] if state.fed is None or not self.feeds_input else [state.fed[:, None].to(embedded.dtype)]
            states, hidden, cell = self.run_cell(torch.cat([embedded, *fed], -1), state)
            features = [states]
            if self.attention is not None:
                context, weights = self.attend(states, encoded, state.position)
                features = [context, states]
            combined = self.combine(torch.cat(features, -1))
        vectors = self.dropout(torch.tanh(combined))  # Luong et al. 2015, eq. 5
        position = None if state.position is None else state.position + embedded.size(1)
        return Decoded(vectors, DecoderState(hidden, cell, vectors[:, -1], position), weights)

    def decode(self, target_ids: Tensor, encoded: Encoded, state: DecoderState) -> Decoded:
        """Read target_ids [B, T] after a state."""
        embedded = self.dropout(self.embedding(target_ids))
        if not (self.attends_first or self.feeds_input):
            return self.advance(embedded, encoded, state)
        steps = []
        for position in embedded.split(1, dim=1):
            steps.append(self.advance(position, encoded, state))
            state = steps[-1].state
        weights = None if self.attention is None else torch.cat([step.weights for step in steps], 1)  # type: ignore[misc]
        return Decoded(torch.cat([step.states for step in steps], 1), state, weights)

    def logits(self, states: Tensor) -> Tensor:
        """states [..., E] -> logits of the next token [..., V]."""
        return F.linear(states, self.embedding.weight)

    def forward(self, source_ids: Tensor, target_ids: Tensor) -> Decoded:
        """Decode whole targets (teacher forcing): source_ids [B, S], target_ids [B, T]."""
        encoded = self.encode(source_ids, source_ids != self.pad_id)
        return self.decode(target_ids, encoded, encoded.initial)
