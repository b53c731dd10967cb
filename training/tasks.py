"""The three tasks: what a recipe's rows, batches, loss and scores are. `fit` trains all the same way.

Legend: B batch, S source or text length, T target length, C classes.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from service.bundle.conventions import UNKNOWN_SYMBOL
from training.alignment import linkable_ids, sure_links
from training.batching import TokenBatches, pad
from training.corpora import (
    LabelledText,
    Split,
    labelled_texts,
    running_text,
    sentence_pairs,
    unlabelled_texts,
)
from training.corpora.augmentation import Augmenter
from training.corpora.mixing import MixedPairs, mixed_pairs
from training.losses import token_loss
from training.networks.classifier import AttentionClassifier, ClassifierConfig
from training.networks.language import (
    LanguageModel,
    LanguageModelState,
    RecurrentLanguageConfig,
    RecurrentLanguageModel,
    TransformerLanguageConfig,
    TransformerLanguageModel,
)
from training.networks.seq2seq import Seq2Seq, Seq2SeqConfig
from training.networks.transformer import Transformer, TransformerConfig
from training.recipe import (
    AnyRecipe,
    ClassificationRecipe,
    GenerationRecipe,
    TransformerLanguageRecipe,
    TransformerRecipe,
    TranslationRecipe,
)
from training.start import (
    borrow_from,
    initial_vectors,
    set_vectors,
    start_from,
    start_from_pretraining,
    stored_bundle,
)
from training.tokenization import BOS, EOS, PAD, set_sampling, special_id, train_tokenizer

Batch = tuple[Tensor, ...]


def build_classifier(recipe: ClassificationRecipe, vocabulary: int, classes: int, pad_id: int) -> AttentionClassifier:
    options = recipe.network.model_dump(exclude={"network", "attention"})
    attention = None if recipe.network.attention == "none" else recipe.network.attention
    config = ClassifierConfig(
        vocabulary=vocabulary, classes=classes, max_length=recipe.limits.max_tokens, attention=attention, **options
    )
    return AttentionClassifier(config, pad_id)


def build_translator(recipe: TranslationRecipe, vocabulary: int, pad_id: int) -> Transformer | Seq2Seq:
    options = recipe.network.model_dump(exclude={"network"})
    if isinstance(recipe.network, TransformerRecipe):
        return Transformer(TransformerConfig(vocabulary=vocabulary, **options), pad_id)
    if recipe.network.attention == "none":
        options["attention"] = None
    return Seq2Seq(Seq2SeqConfig(vocabulary=vocabulary, max_length=recipe.limits.max_tokens, **options), pad_id)


def build_language_model(recipe: GenerationRecipe, vocabulary: int) -> LanguageModel:
    options = recipe.network.model_dump(exclude={"network"})
    if isinstance(recipe.network, TransformerLanguageRecipe):
        return TransformerLanguageModel(TransformerLanguageConfig(vocabulary=vocabulary, **options))
    if recipe.network.attention == "none":
        options["attention"] = None
    return RecurrentLanguageModel(RecurrentLanguageConfig(vocabulary=vocabulary, **options))


class Task(L.LightningModule):
    """What all tasks share: the optimiser, its schedule, and how examples become batches."""

    recipe: AnyRecipe
    network: nn.Module
    monitor: tuple[str, Literal["min", "max"]] = ("valid_loss", "min")
    """The measure by which the epoch that is kept is the best."""

    def __init__(self, recipe: AnyRecipe, tokenizer: Tokenizer):
        super().__init__()
        self.recipe = recipe
        self.optimisation = recipe.optimisation
        self.tokenizer = tokenizer
        self.pad_id = special_id(tokenizer, PAD)
        self.examples: dict[Split, list[Any]] = {}
        self.spent: Callable[[], float] | None = None
        """The share of the time for training that is over, where it is limited; then the learning rate follows it."""

    def load(self, split: Split) -> None:
        """Read the rows of a split into `examples`. Raises CorpusError."""
        raise NotImplementedError

    @property
    def varies(self) -> bool:
        """Whether `load` gives other training examples in another epoch."""
        return self.recipe.tokenizer.sampling > 0

    def initialise(self) -> None:
        """Set the first weights, where the recipe wants others than random ones. Raises StartError."""

    def length(self, example: Any) -> int:
        raise NotImplementedError

    def collate(self, examples: list[Any]) -> Batch:
        raise NotImplementedError

    def loader(self, split: Split, seed: int | None = None) -> "DataLoader[Any]":
        examples = self.examples[split]
        batches = TokenBatches([self.length(e) for e in examples], self.optimisation.batch_tokens, seed)
        return DataLoader(examples, batch_sampler=batches, collate_fn=self.collate)  # type: ignore[arg-type]

    def train_dataloader(self) -> "DataLoader[Any]":
        """The epoch's batches, of rows read anew where the recipe wants them other in every epoch."""
        if self.varies:
            set_sampling(self.tokenizer, self.recipe.tokenizer, self.recipe.tokenizer.sampling)
            self.load("train")
            set_sampling(self.tokenizer, self.recipe.tokenizer, 0)
        # Seeded by the epoch, so that a resumed run sees the batches that an unbroken one would have seen.
        return self.loader("train", seed=self.recipe.seed * 1000 + self.current_epoch)

    def val_dataloader(self) -> "DataLoader[Any]":
        return self.loader("valid")

    def configure_optimizers(self) -> Any:
        """AdamW; the rate climbs for `warmup_steps` and then falls linearly, reaching zero with the last epoch, or
        with the end of the time if that is limited."""
        options = self.optimisation
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=options.weight_decay
        )
        steps = max(int(self.trainer.estimated_stepping_batches), options.warmup_steps + 1)

        def rate(step: int) -> float:
            rest = (steps - step) / (steps - options.warmup_steps) if self.spent is None else 1 - self.spent()
            return max(0.0, min(rest, (step + 1) / max(options.warmup_steps, 1)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ClassificationTask(Task):
    recipe: ClassificationRecipe
    network: AttentionClassifier
    monitor = ("valid_recall", "max")
    """The balanced accuracy: the loss may rise with it, since a network grows too sure before it grows worse."""

    def __init__(self, recipe: ClassificationRecipe, labels: list[str], tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.labels = labels
        self.pretrained: Path | None = None
        """A checkpoint of PretrainingTask to start from, if the recipe wants one."""
        self.network = build_classifier(recipe, tokenizer.get_vocab_size(), len(labels), self.pad_id)
        # Here and not where the vectors are set, which a run that goes on from a checkpoint never comes by.
        self.network.embedding.weight.requires_grad_(recipe.vectors is None or not recipe.vectors.freeze)
        self.accuracy = MulticlassAccuracy(len(labels), average="micro")
        self.recall = MulticlassRecall(len(labels), average="macro")
        self.macro_f1 = MulticlassF1Score(len(labels), average="macro")

    def load(self, split: Split) -> None:
        """Rows -> examples: (ids, label index). A text over the bundle's limit is cut here, in training only."""
        rows: Sequence[LabelledText] = labelled_texts(self.recipe.data, split)
        encodings = self.tokenizer.encode_batch([row.text for row in rows])
        limit = self.recipe.limits.max_tokens
        self.examples[split] = [
            (encoding.ids[:limit], self.labels.index(row.label))
            for row, encoding in zip(rows, encodings, strict=True)
            if encoding.ids
        ]
        if split == "train":
            counts = torch.bincount(
                torch.tensor([label for _, label in self.examples[split]]), minlength=len(self.labels)
            )
            self.class_weights = counts.sum() / (len(self.labels) * counts.clamp(min=1))

    def initialise(self) -> None:
        if self.recipe.warm_start is not None:
            start_from(self.network, stored_bundle(self.recipe.warm_start))
        elif self.pretrained is not None:
            start_from_pretraining(self.network, self.pretrained)
        elif self.recipe.vectors is not None:
            vectors = initial_vectors(self.recipe, self.recipe.vectors, self.tokenizer)
            set_vectors(self.network.embedding, vectors)

    def length(self, example: tuple[list[int], int]) -> int:
        return len(example[0])

    def collate(self, examples: list[tuple[list[int], int]]) -> Batch:
        """-> ids [B, S], lengths [B], labels [B]."""
        rows, labels = zip(*examples, strict=True)
        return pad(rows, self.pad_id), torch.tensor([len(row) for row in rows]), torch.tensor(labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        options = self.optimisation
        weights = self.class_weights.to(logits.device) if options.balance else None
        return F.cross_entropy(logits, labels, weights, label_smoothing=options.label_smoothing)

    def loss(self, ids: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; with `adversarial`, the mean of that and of the loss under the worst small change of the
        embeddings, r = epsilon * g / |g| with g the loss's gradient (Miyato, Dai and Goodfellow 2017, eq. 2-3)."""
        embedded = self.network.embed(ids)
        logits, _ = self.network.decide(embedded, lengths)
        loss = self.cross_entropy(logits, labels)
        if not self.optimisation.adversarial:
            return loss
        [gradient] = torch.autograd.grad(loss, embedded, retain_graph=True)
        norm = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
        logits, _ = self.network.decide(embedded + self.optimisation.adversarial * gradient / norm, lengths)
        return (loss + self.cross_entropy(logits, labels)) / 2

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        ids, lengths, labels = batch
        loss = self.loss(ids, lengths.cpu(), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(ids))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        ids, lengths, labels = batch
        logits, _ = self.network(ids, lengths.cpu())
        self.accuracy(logits, labels)
        self.recall(logits, labels)
        self.macro_f1(logits, labels)
        values: dict[str, Any] = {
            "valid_loss": F.cross_entropy(logits, labels, self.class_weights if self.optimisation.balance else None),
            "valid_accuracy": self.accuracy,
            "valid_recall": self.recall,
            "valid_macro_f1": self.macro_f1,
        }
        self.log_dict(values, prog_bar=True, on_epoch=True, batch_size=len(ids))


class TranslationTask(Task):
    recipe: TranslationRecipe
    network: Transformer | Seq2Seq

    def __init__(self, recipe: TranslationRecipe, tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.bos_id = special_id(tokenizer, BOS)
        self.eos_id = special_id(tokenizer, EOS)
        self.network = build_translator(recipe, tokenizer.get_vocab_size(), self.pad_id)

        self.linkable = linkable_ids(tokenizer) if self.optimisation.guided else frozenset()
        self.mixed: MixedPairs | None = None
        """The training pairs that epochs are drawn from, where the recipe wants that; read once."""

    @property
    def varies(self) -> bool:
        data = self.recipe.data
        return super().varies or data.hidden > 0 or data.mixture is not None or data.augmentation is not None

    def load(self, split: Split) -> None:
        """Rows -> examples: (source ids with </s>, target ids without). Pairs over the limit are left out."""
        data, limit = self.recipe.data, self.recipe.limits.max_tokens
        if split == "train":
            pairs = self.training_pairs()
            limit = min(limit, data.longest or limit)
        else:
            rows = [row for corpus in dict.fromkeys(data.corpora) for row in sentence_pairs(corpus, split, data)]
            pairs = [(row.source, row.target) for row in rows]
        sources = self.tokenizer.encode_batch([source for source, _ in pairs], add_special_tokens=False)
        targets = self.tokenizer.encode_batch([target for _, target in pairs], add_special_tokens=False)
        self.examples[split] = [
            ([*source.ids, self.eos_id], target.ids)
            for source, target in zip(sources, targets, strict=True)
            if source.ids and target.ids and len(source.ids) < limit and len(target.ids) < limit
        ]

    def training_pairs(self) -> list[tuple[str, str]]:
        """The pairs of this epoch, changed as the recipe wants it."""
        data = self.recipe.data
        generator = random.Random(self.recipe.seed * 1000 + self.current_epoch)
        held_out: set[str] = set()
        if data.mixture is not None:
            self.mixed = self.mixed or mixed_pairs(data, self.recipe.seed)
            rows, held_out = self.mixed.epoch(self.current_epoch), self.mixed.held_out
        else:
            rows = [row for corpus in data.corpora for row in sentence_pairs(corpus, "train", data)]
        if data.augmentation is not None:
            pairs = Augmenter(data.augmentation, generator, held_out).augment(rows)
        else:
            pairs = [(row.source, row.target) for row in rows]
        if data.hidden:
            pairs = [hide(*pair, generator) if generator.random() < data.hidden else pair for pair in pairs]
        return pairs

    def initialise(self) -> None:
        if self.recipe.warm_start is not None:
            borrow_from(self.network, self.tokenizer, stored_bundle(self.recipe.warm_start))

    def length(self, example: tuple[list[int], list[int]]) -> int:
        return max(len(example[0]), len(example[1]) + 1)

    def collate(self, examples: list[tuple[list[int], list[int]]]) -> Batch:
        """-> source [B, S], decoder input <s> y1..yn [B, T], what it is to say y1..yn </s> [B, T], and the sure links
        [L, 3] that guide its alignment: row, target place, source place."""
        sources, targets = zip(*examples, strict=True)
        inputs = [[self.bos_id, *target] for target in targets]
        outputs = [[*target, self.eos_id] for target in targets]
        links: list[tuple[int, int, int]] = []
        if self.optimisation.guided:
            links = [(row, *link) for row, sides in enumerate(examples) for link in sure_links(*sides, self.linkable)]
        found = torch.tensor(links, dtype=torch.long).reshape(-1, 3)
        return pad(sources, self.pad_id), pad(inputs, self.pad_id), pad(outputs, self.pad_id), found

    def loss(self, batch: Batch, label_smoothing: float = 0.0, samples: int = 0, guided: float = 0.0) -> Tensor:
        """Cross-entropy per target token; only real tokens are projected on the vocabulary. With `guided`, so many
        times the mean of -log(weight) of the sure links is added."""
        source, inputs, outputs, links = batch
        real = outputs != self.pad_id
        decoded = self.network(source, inputs)
        weight = self.network.embedding.weight
        loss = token_loss(decoded.states[real], weight, outputs[real], label_smoothing, samples)
        alignment = decoded.alignment(self.recipe.summary_layer) if guided and len(links) else None
        if alignment is not None:
            rows, target_places, source_places = links.T
            loss = loss - guided * alignment[rows, target_places, source_places].clamp(min=1e-6).log().mean()
        return loss

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        options = self.optimisation
        loss = self.loss(batch, options.label_smoothing, options.samples, options.guided)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        tokens = int((batch[2] != self.pad_id).sum())
        self.log("valid_loss", self.loss(batch), prog_bar=True, on_epoch=True, batch_size=tokens)


class GenerationTask(Task):
    """A running text, cut into streams that are read side by side, stretch by stretch; the memory goes on from one
    stretch to the next, the gradient does not (truncated back-propagation through time)."""

    recipe: GenerationRecipe
    network: LanguageModel

    def __init__(self, recipe: GenerationRecipe, tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.eos_id = special_id(tokenizer, EOS)
        self.network = build_language_model(recipe, tokenizer.get_vocab_size())
        self.memory: LanguageModelState | None = None

    def load(self, split: Split) -> None:
        """The text -> its ids, behind which it ends."""
        text = running_text(self.recipe.data, split)
        self.examples[split] = [*self.tokenizer.encode(text).ids, self.eos_id]

    def initialise(self) -> None:
        if self.recipe.warm_start is not None:
            borrow_from(self.network, self.tokenizer, stored_bundle(self.recipe.warm_start))

    def loader(self, split: Split, seed: int | None = None) -> "DataLoader[Any]":
        """Stretches of all streams, in order: what is read [B, T], and what comes next [B, T]."""
        ids, options = torch.tensor(self.examples[split]), self.optimisation
        # In another place in each epoch, so that the cuts between streams and stretches are not always the same.
        start = 0 if seed is None else random.Random(seed).randrange(options.stretch)
        streams = max(1, min(options.batch_tokens // options.stretch, len(ids) // (2 * options.stretch)))
        length = (len(ids) - 1 - start) // streams
        rows = torch.stack([ids[start + n * length : start + (n + 1) * length + 1] for n in range(streams)])
        read, following = rows[:, :-1], rows[:, 1:]
        stretches = list(zip(read.split(options.stretch, 1), following.split(options.stretch, 1), strict=True))
        return DataLoader(stretches, batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        self.memory = None

    def on_validation_epoch_start(self) -> None:
        self.memory = None

    def on_validation_epoch_end(self) -> None:
        self.memory = None

    def loss(self, batch: Batch, label_smoothing: float) -> Tensor:
        read, following = batch
        memory = self.memory if self.memory is not None else self.network.initial_state(len(read))
        found = self.network(read, memory)
        self.memory = found.state.detach()
        logits = self.network.logits(found.states)
        return F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), label_smoothing=label_smoothing)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        loss = self.loss(batch, self.optimisation.label_smoothing)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=batch[0].numel())
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        self.log("valid_loss", self.loss(batch, 0.0), prog_bar=True, on_epoch=True, batch_size=batch[0].numel())


def hide(source: str, target: str, generator: random.Random) -> tuple[str, str]:
    """The pair with one symbol unknown on both sides, as Luong et al. 2015b mark the words that are to be copied.

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


TOKENIZER_PAIRS = 300_000
"""Of a mixture, at least so many are read for its tokenizer."""

AnyTask = ClassificationTask | TranslationTask | GenerationTask


def new_task(recipe: AnyRecipe) -> AnyTask:
    """A task with its tokenizer trained on the training split and its network at its first weights."""
    if isinstance(recipe, GenerationRecipe):
        return GenerationTask(recipe, train_tokenizer([running_text(recipe.data, "train")], recipe.tokenizer))
    if isinstance(recipe, ClassificationRecipe):
        rows = labelled_texts(recipe.data, "train")
        if recipe.warm_start is not None:
            tokenizer = Tokenizer.from_file(str(stored_bundle(recipe.warm_start) / "tokenizer.json"))
        else:
            texts = [row.text for row in rows] + unlabelled_texts(recipe.data)
            tokenizer = train_tokenizer(texts, recipe.tokenizer)
        return ClassificationTask(recipe, sorted({row.label for row in rows}), tokenizer)
    data = recipe.data
    if data.mixture is not None:
        mixed = mixed_pairs(data, recipe.seed)
        pairs = [p for epoch in range(-(-TOKENIZER_PAIRS // data.mixture.pairs)) for p in mixed.epoch(epoch)]
    else:
        pairs = [p for c in dict.fromkeys(data.corpora) for p in sentence_pairs(c, "train", data)]
    tokenizer = train_tokenizer((text for p in pairs for text in (p.source, p.target)), recipe.tokenizer)
    return TranslationTask(recipe, tokenizer)
