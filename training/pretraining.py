"""Teaches a classifier's embedding and first recurrent layer the language of its texts, before any label.

Legend: B batch, S piece length, E embedding, H hidden size of one direction, N tokens predicted, K samples.
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
"""Tokens that are read at once; a longer text is cut into pieces."""


class LanguageModel(nn.Module):
    """A first layer as two language models side by side: the forward direction predicts the next token, the backward
    one the token before (Dai and Le 2015; in both directions, Peters et al. 2018).

    Its parameters are called as the classifier's, which takes them over; the output projections stay behind.
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
        """ids [B, S], lengths [B] -> what each place thinks its neighbour is [N, E], and what it is [N]."""
        states, _ = self.encoder(self.dropout(self.embedding(ids)), lengths)
        inside = torch.arange(ids.size(1) - 1, device=ids.device) < lengths.to(ids.device)[:, None] - 1
        ahead, *back = self.dropout(states).chunk(self.encoder.directions, dim=-1)
        guesses, wanted = [self.projections[0](ahead[:, :-1][inside])], [ids[:, 1:][inside]]
        for states_back in back:
            guesses.append(self.projections[1](states_back[:, 1:][inside]))
            wanted.append(ids[:, :-1][inside])
        return torch.cat(guesses), torch.cat(wanted)


class PretrainingTask(Task):
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
        """Texts, labelled or not -> pieces of ids."""
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

    def sampled_loss(self, guesses: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of the right token, where the sum over the vocabulary is estimated from some of it (Bengio and
        Senecal 2008): each token is taken with a probability p by its frequency and counts 1 / p times, about K in all.

        guesses [N, E], wanted [N]; the softmax is tied to the embedding.
        """
        chance = (self.options.samples * self.frequencies).clamp(max=1)
        others = (torch.rand_like(chance) < chance).nonzero()[:, 0]
        # Outside autocast, which would widen [N, K] logits that are bfloat16 already.
        with torch.autocast(self.device.type, enabled=False):
            table = self.network.embedding.weight.to(guesses.dtype)
            right = (guesses * table[wanted]).sum(-1)
            wrong = torch.addmm(-chance[others].log().to(guesses.dtype), guesses, table[others].T)
            wrong = wrong.masked_fill(wanted[:, None] == others, -torch.inf)
            logits = torch.cat([right[:, None], wrong], dim=1)
            return F.cross_entropy(logits, wanted.new_zeros(len(wanted))).float()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        ids, lengths = batch
        loss = self.sampled_loss(*self.network(ids, lengths.cpu()))
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(ids))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        ids, lengths = batch
        loss = self.sampled_loss(*self.network(ids, lengths.cpu()))
        self.log("valid_loss", loss, prog_bar=True, on_epoch=True, batch_size=len(ids))
