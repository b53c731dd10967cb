"""The classifier: embedding, recurrent encoder, attention, decision.

Legend: B batch, S text length, C classes, E embedding, H encoder output size, M maximum text length.
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, Attention, ScoreName
from training.networks.recurrent import CellName, RecurrentEncoder
from training.section import Section

QueryName = Literal["last", "dense", "learned", "self"]


class ClassifierConfig(Section):
    """Sizes and choices of an AttentionClassifier; the section `network` of a recipe."""

    network: Literal["classifier"]
    cell: CellName = "lstm"
    bidirectional: bool = True
    layers: int = Field(default=1, gt=0)
    embedding: int = Field(default=128, gt=0)
    hidden: int = Field(default=64, gt=0)
    """Hidden size per direction."""
    attention: ScoreName | Literal["none"] = "additive"
    query: QueryName = "last"
    """Query of the attention: the last states, a dense layer over them, a learned vector, or every position
    (self-attention)."""
    values: Literal["states", "embeddings"] = "states"
    """Values of the attention. With the embeddings, the decision is a sum of one contribution per token."""
    dense: int | None = Field(default=None, gt=0)
    """Units of a ReLU layer before the decision."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of words whose embedding is set to zero in training."""
    variational: bool = False
    """Use one dropout mask for all positions of a text."""

    @model_validator(mode="after")
    def _contributions_are_exact(self) -> Self:
        linear = self.attention != "none" and self.query in ("dense", "learned") and self.dense is None
        if self.values == "embeddings" and not linear:
            raise ValueError("values 'embeddings' need attention with query 'dense' or 'learned', and no dense layer")
        return self


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
    """Dense layer over the concatenation of all positions: Keras's Flatten and Dense on texts padded to M.

    x [B, S, H] -> [B, units]. Positions after S count as zeros, so that no padding is needed.
    """

    def __init__(self, max_length: int, size: int, units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, max_length, size))
        self.bias = nn.Parameter(torch.zeros(units))
        nn.init.normal_(self.weight, std=(max_length * size) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight[:, : x.size(1)].flatten(1).T + self.bias


class AttentionClassifier(nn.Module):
    """Recurrent states pooled by attention. `query` chooses the query:

    last     the encoder's last states. The decision reads [context; last] (Zhou et al. 2016, and the "Bahdanau
             classifier" of tutorials)
    dense    a dense layer over the last states. The decision reads the context
    learned  one trained vector. The decision reads the context (Yang et al. 2016)
    self     every position (query = key = value). The decision reads the concatenation of all contexts

    With the embeddings as `values` the context is a weighted sum of embeddings, and `contributions` are exact. This is
    RETAIN (Choi et al. 2016) with one weight per token instead of one per token and dimension.

    Without attention the decision reads the last states. `dense` adds a ReLU layer before the decision. max_length is
    M, the size of `location` attention and of the dense layer of query `self`.
    """

    def __init__(self, config: ClassifierConfig, vocabulary: int, classes: int, max_length: int, pad_id: int):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.classes = classes
        self.max_length = max_length
        self.embedding = nn.Embedding(vocabulary, config.embedding, padding_idx=pad_id)
        self.encoder = RecurrentEncoder(
            config.cell, config.embedding, config.hidden, config.layers, config.bidirectional, config.dropout
        )
        size = self.encoder.output_size
        self.attention: Attention | None = None
        if config.attention != "none":
            self.attention = ATTENTIONS[config.attention](size, size, max_length)
        if config.query == "dense":
            self.query_layer = nn.Linear(size, size)
        if config.attention != "none" and config.query == "learned":
            self.query = nn.Parameter(torch.randn(size) * size**-0.5)
        features = 2 * size if config.attention != "none" and config.query == "last" else size
        if config.values == "embeddings":
            features = config.embedding
        self.dense_layer: nn.Module | None = None
        if config.attention != "none" and config.query == "self":
            features = config.dense or 64
            self.dense_layer = FlattenedDense(max_length, size, features)
        elif config.dense is not None:
            self.dense_layer = nn.Linear(features, config.dense)
            features = config.dense
        self.output_layer = nn.Linear(features, classes)
        self.text_dropout = TextDropout(config.dropout, config.variational)
        self.dropout = nn.Dropout(config.dropout)

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> [B, S, E]. In training `word_dropout` sets whole words to zero."""
        embedded = self.embedding(ids)
        if self.training and self.config.word_dropout:
            embedded = embedded * (torch.rand(ids.shape, device=ids.device) >= self.config.word_dropout)[..., None]
        return self.text_dropout(embedded)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """ids [B, S] padded, lengths [B] -> logits [B, C], weights [B, 1, S] ([B, S, S] for query `self`)."""
        return self.decide(self.embed(ids), lengths)

    def decide(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """embedded [B, S, E], lengths [B] -> logits and weights, like `forward`."""
        states, last = self.encoder(embedded, lengths, needs_states=self.attention is not None)
        states = self.text_dropout(states)
        if self.attention is None:
            return self.head(last), None
        real = torch.arange(states.size(1), device=states.device)[None, :] < lengths.to(states.device)[:, None]
        query = {
            "last": lambda: last[:, None],
            "dense": lambda: self.query_layer(last).tanh()[:, None],
            "learned": lambda: self.query.expand(last.size(0), 1, -1),
        }
        queries = states if self.config.query == "self" else query[self.config.query]()
        values = embedded if self.config.values == "embeddings" else states
        context, weights = self.attention(queries, states, values, real[:, None, :])
        if self.config.query == "self":
            return self.head(context * real[..., None]), weights
        pooled = context[:, 0]
        return self.head(torch.cat([pooled, last], dim=-1) if self.config.query == "last" else pooled), weights

    def contributions(self, ids: Tensor, weights: Tensor) -> Tensor:
        """ids [B, S], weights [B, 1, S] -> the contribution of each token to each logit [B, C, 1, S].

        With the bias of the decision they sum to the logits (Choi et al. 2016, eq. 5). For `values` = "embeddings".
        """
        shares = self.output_layer.weight @ self.embedding(ids).transpose(1, 2)  # [B, C, S]
        return (shares * weights)[:, :, None]

    def head(self, features: Tensor) -> Tensor:
        """Features of a text -> logits [B, C]."""
        if self.dense_layer is not None:
            features = F.relu(self.dense_layer(self.dropout(features)))
        return self.output_layer(self.dropout(features))
