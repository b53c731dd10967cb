"""Translation of sentences."""

import random
import re
from collections import Counter

import torch
from tokenizers import Tokenizer
from torch import Tensor

from service.bundle.conventions import UNKNOWN_SYMBOL
from training.batching import pad
from training.corpora import SentencePair, Split, sentence_pairs
from training.corpora.augmentation import Augmenter
from training.corpora.mixing import MixedPairs, mixed_pairs
from training.guided_alignment import linkable_ids, sure_links
from training.losses import token_loss
from training.networks.seq2seq import Seq2Seq
from training.networks.transformer import Transformer, TransformerConfig
from training.recipe import TranslationRecipe
from training.start import copy_matching_weights, copy_weights, stored_bundle
from training.tasks.task import Batch, Task
from training.tokenization import BOS, EOS, extend_tokenizer, special_id, train_tokenizer

Example = tuple[list[int], list[int]]
"""Source ids with </s>, target ids without."""

TOKENIZER_PAIRS = 300_000
"""Number of pairs of a mixture that its tokenizer is trained on, if there are as many."""


def build_translator(recipe: TranslationRecipe, vocabulary: int, pad_id: int) -> Transformer | Seq2Seq:
    """The network of a recipe, with random weights."""
    if isinstance(recipe.network, TransformerConfig):
        return Transformer(recipe.network, vocabulary, pad_id)
    return Seq2Seq(recipe.network, vocabulary, recipe.limits.max_tokens, pad_id)


class TranslationTask(Task):
    """Trains a translator on sentence pairs."""

    recipe: TranslationRecipe
    network: Transformer | Seq2Seq

    def __init__(self, recipe: TranslationRecipe, tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.bos_id = special_id(tokenizer, BOS)
        self.eos_id = special_id(tokenizer, EOS)
        self.network = build_translator(recipe, tokenizer.get_vocab_size(), self.pad_id)
        self.linkable = linkable_ids(tokenizer) if self.optimisation.guided else frozenset()
        self.mixed: MixedPairs | None = None
        """Pairs of the mixture or of the replay, read once."""

    @classmethod
    def new(cls, recipe: TranslationRecipe) -> "TranslationTask":
        """A task with a new tokenizer, or with that of the warm start, unchanged or extended."""
        data = recipe.data
        if recipe.tokenizer.keeps_warm_start and recipe.warm_start is not None:
            return cls(recipe, Tokenizer.from_file(str(stored_bundle(recipe.warm_start) / "tokenizer.json")))
        if data.mixture is not None:
            mixed = mixed_pairs(data, recipe.seed)
            epochs = -(-min(TOKENIZER_PAIRS, len(mixed)) // data.mixture.pairs)
            pairs = [pair for epoch in range(epochs) for pair in mixed.epoch(epoch)]
        else:
            pairs = read_pairs(recipe, "train", list(dict.fromkeys(data.corpora)))
        texts = (text for pair in pairs for text in (pair.source, pair.target))
        if recipe.tokenizer.extends_warm_start and recipe.warm_start is not None:
            known = Tokenizer.from_file(str(stored_bundle(recipe.warm_start) / "tokenizer.json"))
            return cls(recipe, extend_tokenizer(known, texts, recipe.tokenizer))
        return cls(recipe, train_tokenizer(texts, recipe.tokenizer))

    @property
    def varies(self) -> bool:
        data = self.recipe.data
        mixed = data.mixture is not None or data.replay is not None
        return super().varies or data.hidden > 0 or mixed or data.augmentation is not None

    def load(self, split: Split) -> None:
        """Read pairs as examples. Pairs over the limit are skipped."""
        data, limit = self.recipe.data, self.recipe.limits.max_tokens
        if split == "train":
            pairs = self.training_pairs()
            limit = min(limit, data.longest or limit)
        else:
            rows = read_pairs(self.recipe, split, list(dict.fromkeys(data.corpora)))
            pairs = [(row.source, row.target) for row in rows]
        sources = self.tokenizer.encode_batch([source for source, _ in pairs], add_special_tokens=False)
        targets = self.tokenizer.encode_batch([target for _, target in pairs], add_special_tokens=False)
        self.examples[split] = [
            ([*source.ids, self.eos_id], target.ids)
            for source, target in zip(sources, targets, strict=True)
            if source.ids and target.ids and len(source.ids) < limit and len(target.ids) < limit
        ]

    def training_pairs(self) -> list[tuple[str, str]]:
        """Pairs of the current epoch, augmented."""
        data = self.recipe.data
        generator = random.Random(self.recipe.seed * 1000 + self.current_epoch)
        held_out: set[str] = set()
        if data.mixture is not None:
            self.mixed = self.mixed or mixed_pairs(data, self.recipe.seed)
            rows, held_out = self.mixed.epoch(self.current_epoch), self.mixed.held_out
        else:
            rows = read_pairs(self.recipe, "train", data.corpora)
        if data.replay is not None:
            self.mixed = self.mixed or mixed_pairs(data.replay, self.recipe.seed)
            rows, held_out = rows + self.mixed.epoch(self.current_epoch), self.mixed.held_out
        if data.augmentation is not None:
            pairs = Augmenter(data.augmentation, generator, held_out).augment(rows)
        else:
            pairs = [(row.source, row.target) for row in rows]
        if data.hidden:
            pairs = [hide(*pair, generator) if generator.random() < data.hidden else pair for pair in pairs]
        return pairs

    def initialise(self) -> None:
        if self.recipe.warm_start is None:
            return
        bundle = stored_bundle(self.recipe.warm_start)
        if self.recipe.tokenizer.keeps_warm_start:
            copy_weights(self.network, bundle)
        else:
            copy_matching_weights(self.network, self.tokenizer, bundle)

    def length(self, example: Example) -> int:
        return max(len(example[0]), len(example[1]) + 1)

    def collate(self, examples: list[Example]) -> Batch:
        """-> source [B, S], decoder inputs <s> y1..yn [B, T], decoder outputs y1..yn </s> [B, T], and links [L, 3] for
        guided alignment: row, target position, source position."""
        sources, targets = zip(*examples, strict=True)
        inputs = [[self.bos_id, *target] for target in targets]
        outputs = [[*target, self.eos_id] for target in targets]
        links: list[tuple[int, int, int]] = []
        if self.optimisation.guided:
            links = [(row, *link) for row, sides in enumerate(examples) for link in sure_links(*sides, self.linkable)]
        found = torch.tensor(links, dtype=torch.long).reshape(-1, 3)
        return pad(sources, self.pad_id), pad(inputs, self.pad_id), pad(outputs, self.pad_id), found

    def loss(self, batch: Batch, label_smoothing: float = 0.0, samples: int = 0, guided: float = 0.0) -> Tensor:
        """Cross-entropy per target token, plus `guided` times the mean of -log(weight) over the links.

        Logits are computed for tokens only, not for padding.
        """
        source, inputs, outputs, links = batch
        real = outputs != self.pad_id
        decoded = self.network(source, inputs)
        weight = self.network.embedding.weight
        loss = token_loss(decoded.states[real], weight, outputs[real], label_smoothing, samples)
        alignment = decoded.alignment(self.recipe.summary_layer) if guided and len(links) else None
        if alignment is not None:
            rows, target_positions, source_positions = links.T
            aligned = alignment[rows, target_positions, source_positions]
            loss = loss - guided * aligned.clamp(min=1e-6).log().mean()
        return loss

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        options = self.optimisation
        loss = self.loss(batch, options.label_smoothing, options.samples, options.guided)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        tokens = int((batch[2] != self.pad_id).sum())
        self.log("valid_loss", self.loss(batch), prog_bar=True, on_epoch=True, batch_size=tokens)


def read_pairs(recipe: TranslationRecipe, split: Split, corpora: list[str]) -> list[SentencePair]:
    """Pairs of several corpora, in order."""
    return [pair for corpus in corpora for pair in sentence_pairs(corpus, split, recipe.data)]


def hide(source: str, target: str, generator: random.Random) -> tuple[str, str]:
    """Insert one unknown symbol on both sides, like the copy marks of Luong et al. 2015b.

    >>> source, target = hide("Tom is here.", "Tom est ici.", random.Random(0))
    >>> (source, target) == (f"{UNKNOWN_SYMBOL} is here.", f"{UNKNOWN_SYMBOL} est ici.")
    True
    """
    sides = [Counter(re.findall(r"\w+", side)) for side in (source, target)]
    shared = sorted(word for word, count in sides[0].items() if count == sides[1][word] == 1)
    if shared:
        word = re.compile(rf"\b{re.escape(generator.choice(shared))}\b")
        return word.sub(UNKNOWN_SYMBOL, source), word.sub(UNKNOWN_SYMBOL, target)
    if generator.random() < 0.5:
        return f"{UNKNOWN_SYMBOL} {source}", f"{UNKNOWN_SYMBOL} {target}"
    return f"{source} {UNKNOWN_SYMBOL}", f"{target} {UNKNOWN_SYMBOL}"
