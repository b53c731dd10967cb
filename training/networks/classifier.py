"""The classifier: embed, read with a recurrent encoder, look, decide.

Legend: B batch, S text length, C classes, E embedding, H encoder output size, M longest text.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, Attention, ScoreName
from training.networks.recurrent import CellName, RecurrentEncoder

QueryName = Literal["last", "learned", "self"]


@dataclass(frozen=True)
class ClassifierConfig:
    vocabulary: int
    classes: int
    max_length: int
    """M: bounds `location` attention and the flattened states of `self`."""
    cell: CellName = "lstm"
    bidirectional: bool = True
    layers: int = 1
    embedding: int = 128
    hidden: int = 64
    attention: ScoreName | None = "additive"
    query: QueryName = "last"
    dense: int | None = None
    dropout: float = 0.3
    word_dropout: float = 0.0
    variational: bool = False


class TextDropout(nn.Module):
    """Dropout over [B, S, E]. Variational: one mask for all positions of a text (Gal and Ghahramani 2016)."""

    def __init__(self, rate: float, variational: bool):
        super().__init__()
        self.rate = rate
        self.variational = variational

    def forward(self, x: Tensor) -> Tensor:
        if self.variational and self.training:
            return x * F.dropout(x.new_ones(x.size(0), 1, x.size(2)), self.rate)
        return F.dropout(x, self.rate, self.training)


class FlattenedDense(nn.Module):
    """Dense layer over all positions laid end to end, as Keras's Flatten and Dense do on texts padded to M.

    x [B, S, H] -> [B, units]. Positions beyond S count as zeros, so they need not be there.
    """

    def __init__(self, max_length: int, size: int, units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, max_length, size))
        self.bias = nn.Parameter(torch.zeros(units))
        nn.init.normal_(self.weight, std=(max_length * size) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight[:, : x.size(1)].flatten(1).T + self.bias


class AttentionClassifier(nn.Module):
    """Recurrent states pooled by attention. The recipe chooses who asks:

    last     the encoder's last states, which then decide together with what they found: W [context; last]
             (the Bahdanau classifier of the tutorials; Zhou et al. 2016)
    learned  one vector for all texts: W context (Yang et al. 2016)
    self     every position (query = key = value); all contexts, laid end to end, decide
    and without attention the last states decide alone.

    With `dense` a ReLU layer of that many units comes before the decision.
    """

    def __init__(self, config: ClassifierConfig, pad_id: int):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embedding, padding_idx=pad_id)
        self.encoder = RecurrentEncoder(
            config.cell, config.embedding, config.hidden, config.layers, config.bidirectional, config.dropout
        )
        size = self.encoder.output_size
        self.attention: Attention | None = None
        if config.attention is not None:
            self.attention = ATTENTIONS[config.attention](size, size, config.max_length)
        if config.attention is not None and config.query == "learned":
            self.query = nn.Parameter(torch.randn(size) * size**-0.5)
        features = 2 * size if config.attention is not None and config.query == "last" else size
        self.dense_layer: nn.Module | None = None
        if config.attention is not None and config.query == "self":
            features = config.dense or 64
            self.dense_layer = FlattenedDense(config.max_length, size, features)
        elif config.dense is not None:
            self.dense_layer = nn.Linear(features, config.dense)
            features = config.dense
        self.output_layer = nn.Linear(features, config.classes)
        self.text_dropout = TextDropout(config.dropout, config.variational)
        self.dropout = nn.Dropout(config.dropout)

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> [B, S, E]; in training a share `word_dropout` of the words is not there at all."""
        embedded = self.embedding(ids)
        if self.training and self.config.word_dropout:
            embedded = embedded * (torch.rand(ids.shape, device=ids.device) >= self.config.word_dropout)[..., None]
        return self.text_dropout(embedded)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """ids [B, S] padded, lengths [B] -> logits [B, C], weights [B, 1, S] ([B, S, S] for query `self`)."""
        return self.decide(self.embed(ids), lengths)

    def decide(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """embedded [B, S, E], lengths [B] -> logits and weights, as `forward`."""
        states, last = self.encoder(embedded, lengths, looked_at=self.attention is not None)
        states = self.text_dropout(states)
        if self.attention is None:
            return self.head(last), None
        real = torch.arange(states.size(1), device=states.device)[None, :] < lengths.to(states.device)[:, None]
        query = {"last": lambda: last[:, None], "learned": lambda: self.query.expand(last.size(0), 1, -1)}
        asking = states if self.config.query == "self" else query[self.config.query]()
        context, weights = self.attention(asking, states, states, real[:, None, :])
        if self.config.query == "self":
            return self.head(context * real[..., None]), weights
        pooled = context[:, 0]
        return self.head(torch.cat([pooled, last], dim=-1) if self.config.query == "last" else pooled), weights

    def head(self, features: Tensor) -> Tensor:
        """What was found -> logits [B, C]."""
        if self.dense_layer is not None:
            features = F.relu(self.dense_layer(self.dropout(features)))
        return self.output_layer(self.dropout(features))
