"""The attention classifier: embed, read with a recurrent encoder, look, decide.

Legend: B batch, S text length, C classes, E embedding, H encoder output size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.networks.attention import ATTENTIONS, ScoreName
from training.networks.recurrent import CellName, RecurrentEncoder


@dataclass(frozen=True)
class ClassifierConfig:
    vocabulary: int
    classes: int
    cell: CellName = "lstm"
    bidirectional: bool = True
    layers: int = 1
    embedding: int = 128
    hidden: int = 64
    attention: ScoreName = "additive"
    dropout: float = 0.3


class AttentionClassifier(nn.Module):
    """Recurrent states pooled by attention, whose query is the encoder's last states.

    The last states ask, every position answers, and the weighted sum of the states decides together
    with the question (Bahdanau-style pooling, Zhou et al. 2016): logits = W [context; last].
    """

    def __init__(self, config: ClassifierConfig, pad_id: int):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.embedding, padding_idx=pad_id)
        self.encoder = RecurrentEncoder(
            config.cell, config.embedding, config.hidden, config.layers, config.bidirectional, config.dropout
        )
        size = self.encoder.output_size
        self.attention = ATTENTIONS[config.attention](size, size)
        self.output_layer = nn.Linear(2 * size, config.classes)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """ids [B, S] padded, lengths [B] -> logits [B, C], weights [B, 1, S]."""
        states, last = self.encoder(self.dropout(self.embedding(ids)), lengths)
        states = self.dropout(states)
        mask = torch.arange(ids.size(1), device=ids.device)[None, None, :] < lengths.to(ids.device)[:, None, None]
        context, weights = self.attention(last.unsqueeze(1), states, states, mask)
        return self.output_layer(self.dropout(torch.cat([context[:, 0], last], dim=-1))), weights
