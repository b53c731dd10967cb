"""Recurrent translators with attention: Bahdanau's and Luong's, and the one without (Sutskever et al. 2014).

Legend: B sentences, R rows, S source length, T target length, E embedding, D state size, L decoder layers,
V vocabulary.

Bahdanau looks with the state before a token and reads what it found together with that token; Luong reads the
token first and looks with the state after it. Both end in one vector for each position, as large as an embedding,
and one matrix is source, target and output embedding.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, Attention, LocalAttention, LocalName, ScoreName
from training.networks.recurrent import CELLS, RecurrentEncoder

DecoderName = Literal["bahdanau", "luong"]


@dataclass(frozen=True)
class Seq2SeqConfig:
    vocabulary: int
    max_length: int
    """The longest source: bounds `location` attention."""
    cell: Literal["lstm", "gru"] = "lstm"
    embedding: int = 256
    size: int = 256
    """D: the decoder's state, and both directions of the encoder together."""
    encoder_layers: int = 1
    decoder_layers: int = 1
    decoder: DecoderName = "luong"
    attention: ScoreName | None = "general"
    input_feeding: bool = False
    """Luong's section 3.3: the vector of one position is read with the next token."""
    local: LocalName | None = None
    window: int = 10
    dropout: float = 0.2


@dataclass
class Encoded:
    """What the decoder needs of the source."""

    states: Tensor | None
    """[B, S, D]; None where nothing looks at them."""
    keys: Tensor | None
    """[B, S, .]: the states as the attention's score takes them."""
    mask: Tensor | None
    """bool [B, S], True at tokens."""
    first: "Memory"
    """The decoder's memory before the first token."""


@dataclass
class Memory:
    """What the decoder carries from one position to the next; every tensor has B first. What it never reads is None."""

    hidden: Tensor
    """[B, L, D]"""
    cell: Tensor | None
    """[B, L, D], of an LSTM."""
    fed: Tensor | None
    """[B, E]: the last position's vector, for input feeding."""
    position: Tensor | None
    """[B]: how many tokens have been read, for monotonic local attention."""


@dataclass
class Decoded:
    states: Tensor
    """[B, T, E]; `Seq2Seq.logits` turns them into scores of the vocabulary."""
    memory: Memory
    """After the last position."""
    weights: Tensor | None
    """[B, T, S]; None without attention."""

    def alignment(self, layer: int) -> Tensor | None:
        """The weights [B, T, S] that are shown as the alignment: there is but one layer of them."""
        return self.weights


class Seq2Seq(nn.Module):
    """A bidirectional encoder and a decoder that looks back at its states."""

    def __init__(self, config: Seq2SeqConfig, pad_id: int):
        super().__init__()
        self.config = config
        self.pad_id = pad_id
        size, embedding = config.size, config.embedding
        self.embedding = nn.Embedding(config.vocabulary, embedding)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        self.encoder = RecurrentEncoder(
            config.cell, embedding, size // 2, config.encoder_layers, bidirectional=True, dropout=config.dropout
        )
        self.bridge = nn.Linear(size, config.decoder_layers * size)
        self.attention: Attention | LocalAttention | None = None
        if config.attention is not None:
            inner = ATTENTIONS[config.attention](size, size, config.max_length)
            self.attention = LocalAttention(inner, config.local, size, config.window) if config.local else inner
        looks_first = self.looks_first
        read = embedding + size * looks_first + embedding * self.feeds
        dropout = config.dropout if config.decoder_layers > 1 else 0.0
        self.layers = CELLS[config.cell](
            read, size, num_layers=config.decoder_layers, batch_first=True, dropout=dropout
        )
        combined = size + size * (self.attention is not None) + embedding * looks_first
        self.combine = nn.Linear(combined, embedding, bias=looks_first)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def looks_first(self) -> bool:
        """Whether the context is there before the token is read (Bahdanau)."""
        return self.attention is not None and self.config.decoder == "bahdanau"

    @property
    def feeds(self) -> bool:
        """Whether a position's vector is read with the next token."""
        return self.config.input_feeding and not self.looks_first

    def encode(self, source_ids: Tensor, mask: Tensor) -> Encoded:
        """source_ids [B, S], mask [B, S] True at tokens."""
        embedded = self.dropout(self.embedding(source_ids))
        states, last = self.encoder(embedded, mask.sum(1).cpu(), looked_at=self.attention is not None)
        hidden = torch.tanh(self.bridge(last)).unflatten(1, (self.config.decoder_layers, -1))
        batch, zeros = states.size(0), hidden.new_zeros
        first = Memory(hidden, torch.zeros_like(hidden), zeros(batch, self.config.embedding), zeros(batch))
        states = self.dropout(states)
        keys = states if self.attention is None else self.attention.project(states)
        return Encoded(states, keys, mask, first)

    def look(self, queries: Tensor, encoded: Encoded, position: Tensor | None) -> tuple[Tensor, Tensor]:
        """queries [R, Q, D], the first of them at target position `position` [R], W = R / B rows for each source side
        by side -> contexts [R, Q, D], weights [R, Q, S]."""
        assert self.attention is not None and encoded.states is not None and encoded.mask is not None
        assert encoded.keys is not None
        mask = encoded.mask[:, None, :]
        # The rows of one source ask together, so that it is there once.
        asked = queries.reshape(mask.size(0), -1, queries.size(2))
        if isinstance(self.attention, LocalAttention):
            at = None
            if position is not None:
                at = position[:, None] + torch.arange(queries.size(1), device=queries.device)
                at = at.reshape(mask.size(0), -1)
            contexts, weights = self.attention.look(asked, encoded.keys, encoded.states, mask, at)
        else:
            contexts, weights = self.attention.look(asked, encoded.keys, encoded.states, mask)
        rows = queries.shape[:2]
        return contexts.reshape(*rows, -1), weights.reshape(*rows, -1)

    def read(self, x: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor | None]:
        """x [B, T, .] -> the top layer's states [B, T, D], the new hidden and cell [B, L, D]."""
        hidden = memory.hidden.to(x.dtype).transpose(0, 1).contiguous()
        if memory.cell is not None and self.config.cell == "lstm":
            cell = memory.cell.to(x.dtype).transpose(0, 1).contiguous()
            states, (hidden, cell) = self.layers(x, (hidden, cell))
            return states, hidden.transpose(0, 1), cell.transpose(0, 1)
        states, hidden = self.layers(x, hidden)
        return states, hidden.transpose(0, 1), memory.cell

    def advance(self, embedded: Tensor, encoded: Encoded, memory: Memory) -> Decoded:
        """Positions that do not wait for one another: embedded [B, T, E], with T = 1 where they do."""
        weights = None
        if self.looks_first:
            context, weights = self.look(memory.hidden[:, -1:], encoded, memory.position)
            states, hidden, cell = self.read(torch.cat([embedded, context], -1), memory)
            combined = self.combine(torch.cat([states, context, embedded], -1))
        else:
            fed = [] if memory.fed is None or not self.feeds else [memory.fed[:, None].to(embedded.dtype)]
            states, hidden, cell = self.read(torch.cat([embedded, *fed], -1), memory)
            features = [states]
            if self.attention is not None:
                context, weights = self.look(states, encoded, memory.position)
                features = [context, states]
            combined = self.combine(torch.cat(features, -1))
        vectors = self.dropout(torch.tanh(combined))
        position = None if memory.position is None else memory.position + embedded.size(1)
        after = Memory(hidden, cell, vectors[:, -1], position)
        return Decoded(vectors, after, weights)

    def decode(self, target_ids: Tensor, encoded: Encoded, memory: Memory) -> Decoded:
        """target_ids [B, T] read one after the other, each looking at the source."""
        embedded = self.dropout(self.embedding(target_ids))
        if not (self.looks_first or self.feeds):
            return self.advance(embedded, encoded, memory)
        steps = []
        for position in embedded.split(1, dim=1):
            steps.append(self.advance(position, encoded, memory))
            memory = steps[-1].memory
        weights = None if self.attention is None else torch.cat([step.weights for step in steps], 1)  # type: ignore[misc]
        return Decoded(torch.cat([step.states for step in steps], 1), memory, weights)

    def logits(self, states: Tensor) -> Tensor:
        """states [..., E] -> [..., V]: how well each token of the vocabulary would come next."""
        return F.linear(states, self.embedding.weight)

    def forward(self, source_ids: Tensor, target_ids: Tensor) -> Decoded:
        """The whole target at once (teacher forcing): source_ids [B, S], target_ids [B, T]."""
        encoded = self.encode(source_ids, source_ids != self.pad_id)
        return self.decode(target_ids, encoded, encoded.first)
