"""Pre-training of a classifier's embedding and first recurrent layer as language models of its texts.

Legend: B batch, S piece length, E embedding, H hidden size of one direction, N predicted tokens, K samples.
"""

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from training.batching import pad
from training.corpora import Split, labelled_texts, unlabelled_texts
from training.networks.recurrent import RecurrentEncoder
from training.recipe import ClassificationRecipe
from training.tasks import Batch, Task

PIECE = 256
"""Maximum tokens of a training example. Longer texts are cut into pieces."""


class LanguageModel(nn.Module):
    """Two language models in one bidirectional layer (Dai and Le 2015, Peters et al. 2018).

    The forward direction predicts the next token, the backward direction the previous one. The parameters have the
    names of the classifier's parameters, which are initialised from them. The output projections are discarded.
    """

    def __init__(self, recipe: ClassificationRecipe, vocabulary: int, pad_id: int):
        super().__init__()
        network = recipe.network
        self.embedding = nn.Embedding(vocabulary, network.embedding, padding_idx=pad_id)
        nn.init.normal_(self.embedding.weight, std=network.embedding**-0.5)
        self.encoder = RecurrentEncoder(
            network.cell, network.embedding, network.hidden, 1, network.bidirectional, dropout=0.0
        )
        self.projections = nn.ModuleList(
            nn.Linear(network.hidden, network.embedding) for _ in range(self.encoder.directions)
        )
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """ids [B, S], lengths [B] -> predicted embeddings of neighbouring tokens [N, E], ids of these tokens [N]."""
        states, _ = self.encoder(self.dropout(self.embedding(ids)), lengths)
        inside = torch.arange(ids.size(1) - 1, device=ids.device) < lengths.to(ids.device)[:, None] - 1
        forward, *backward = self.dropout(states).chunk(self.encoder.directions, dim=-1)
        predicted, expected = [self.projections[0](forward[:, :-1][inside])], [ids[:, 1:][inside]]
        for states_back in backward:
            predicted.append(self.projections[1](states_back[:, 1:][inside]))
            expected.append(ids[:, :-1][inside])
        return torch.cat(predicted), torch.cat(expected)


class PretrainingTask(Task):
    """Trains the LanguageModel on labelled and unlabelled texts."""

    recipe: ClassificationRecipe
    network: LanguageModel

    def __init__(self, recipe: ClassificationRecipe, tokenizer: Tokenizer):
        assert recipe.pretraining is not None
        changed = {"learning_rate": recipe.pretraining.learning_rate, "epochs": recipe.pretraining.epochs}
        optimisation = recipe.optimisation.model_copy(update=changed)
        super().__init__(recipe.model_copy(update={"optimisation": optimisation}), tokenizer)
        self.options = recipe.pretraining
        self.network = LanguageModel(recipe, tokenizer.get_vocab_size(), self.pad_id)
        self.register_buffer("frequencies", torch.ones(tokenizer.get_vocab_size()), persistent=False)

    def load(self, split: Split) -> None:
        """Read the texts of a split, unlabelled ones included, as pieces of ids."""
        texts = [row.text for row in labelled_texts(self.recipe.data, split)]
        if split == "train":
            texts += unlabelled_texts(self.recipe.data)
        pieces = []
        counts = torch.ones(self.tokenizer.get_vocab_size())
        for encoding in self.tokenizer.encode_batch(texts):
            pieces += [encoding.ids[start : start + PIECE] for start in range(0, len(encoding.ids) - 1, PIECE)]
        self.examples[split] = [piece for piece in pieces if len(piece) > 1]
        if split == "train":
            for piece in self.examples[split]:
                counts += torch.bincount(torch.tensor(piece), minlength=len(counts))
            self.frequencies = (counts / counts.sum()).to(self.device)

    def length(self, example: list[int]) -> int:
        return len(example)

    def collate(self, examples: list[list[int]]) -> Batch:
        """-> ids [B, S], lengths [B]."""
        return pad(examples, self.pad_id), torch.tensor([len(piece) for piece in examples])

    def sampled_loss(self, predicted: Tensor, expected: Tensor) -> Tensor:
        """Cross-entropy with a sampled estimate of the sum over the vocabulary (Bengio and Senecal 2008).

        Each token is drawn with a probability p proportional to its frequency, and counts 1 / p times. About K tokens
        are drawn. predicted [N, E], expected ids [N]; the output layer shares the embedding's weights.
        """
        probability = (self.options.samples * self.frequencies).clamp(max=1)
        drawn = (torch.rand_like(probability) < probability).nonzero()[:, 0]
        # Autocast would convert the [N, K] bfloat16 logits to float32.
        with torch.autocast(self.device.type, enabled=False):
            table = self.network.embedding.weight.to(predicted.dtype)
            correct = (predicted * table[expected]).sum(-1)
            wrong = torch.addmm(-probability[drawn].log().to(predicted.dtype), predicted, table[drawn].T)
            wrong = wrong.masked_fill(expected[:, None] == drawn, -torch.inf)
            logits = torch.cat([correct[:, None], wrong], dim=1)
            return F.cross_entropy(logits, expected.new_zeros(len(expected))).float()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        ids, lengths = batch
        loss = self.sampled_loss(*self.network(ids, lengths.cpu()))
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(ids))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        ids, lengths = batch
        loss = self.sampled_loss(*self.network(ids, lengths.cpu()))
        self.log("valid_loss", loss, prog_bar=True, on_epoch=True, batch_size=len(ids))
