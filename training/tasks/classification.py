"""Text classification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from service.bundle.files import read_manifest
from service.bundle.manifest import ClassificationManifest
from training.batching import pad
from training.corpora import CorpusError, LabelledText, Split, labelled_texts, unlabelled_texts
from training.networks.classifier import AttentionClassifier
from training.recipe import ClassificationRecipe
from training.start import copy_pretrained_weights, copy_weights, initial_vectors, set_vectors, stored_bundle
from training.tasks.task import Batch, Task
from training.tokenization import train_tokenizer

Example = tuple[list[int], int]
"""Ids, label index."""


def build_classifier(recipe: ClassificationRecipe, vocabulary: int, classes: int, pad_id: int) -> AttentionClassifier:
    """The network of a recipe, with random weights."""
    return AttentionClassifier(recipe.network, vocabulary, classes, recipe.limits.max_tokens, pad_id)


class ClassificationTask(Task):
    """Trains a classifier on labelled texts."""

    recipe: ClassificationRecipe
    network: AttentionClassifier
    monitor = ("valid_score", "max")
    """Balanced accuracy minus a hundredth of the loss. The accuracy can still improve while the loss of an
    overconfident network increases. The loss decides between equal accuracies, which are frequent in little data."""
    shown = "valid_recall"

    def __init__(self, recipe: ClassificationRecipe, labels: list[str], tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.labels = labels
        self.pretrained: Path | None = None
        """Checkpoint of a PretrainingTask with initial weights."""
        self.network = build_classifier(recipe, tokenizer.get_vocab_size(), len(labels), self.pad_id)
        # Not in `initialise`, which a resumed run does not call.
        self.network.embedding.weight.requires_grad_(recipe.vectors is None or not recipe.vectors.freeze)
        self.accuracy = MulticlassAccuracy(len(labels), average="micro")
        self.recall = MulticlassRecall(len(labels), average="macro")
        self.macro_f1 = MulticlassF1Score(len(labels), average="macro")

    @classmethod
    def new(cls, recipe: ClassificationRecipe) -> "ClassificationTask":
        """A task with a new tokenizer, or with that of the warm start."""
        rows = labelled_texts(recipe.data, "train")
        if recipe.warm_start is not None:
            tokenizer = Tokenizer.from_file(str(stored_bundle(recipe.warm_start) / "tokenizer.json"))
        else:
            texts = [row.text for row in rows] + unlabelled_texts(recipe.data)
            tokenizer = train_tokenizer(texts, recipe.tokenizer)
        return cls(recipe, sorted({row.label for row in rows}), tokenizer)

    def load(self, split: Split) -> None:
        """Read rows as examples. Texts over the bundle's limit are truncated; the service does not truncate."""
        rows: Sequence[LabelledText] = labelled_texts(self.recipe.data, split)
        if split == "train" and self.recipe.data.replay is not None:
            rows = [*rows, *labelled_texts(self.recipe.data.replay, split)]
        encodings = self.tokenizer.encode_batch([row.text for row in rows])
        if unknown := {row.label for row in rows} - set(self.labels):
            raise CorpusError(f"no training text has the label(s) {', '.join(sorted(unknown))} of the {split} split")
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
            bundle = stored_bundle(self.recipe.warm_start)
            same_labels = read_manifest(bundle, ClassificationManifest).labels == self.labels
            copy_weights(self.network, bundle, new=() if same_labels else ("output_layer.",))
        elif self.pretrained is not None:
            copy_pretrained_weights(self.network, self.pretrained)
        elif self.recipe.vectors is not None:
            vectors = initial_vectors(self.recipe, self.recipe.vectors, self.tokenizer)
            set_vectors(self.network.embedding, vectors)

    def length(self, example: Example) -> int:
        return len(example[0])

    def collate(self, examples: list[Example]) -> Batch:
        """-> ids [B, S], lengths [B], labels [B]."""
        rows, labels = zip(*examples, strict=True)
        return pad(rows, self.pad_id), torch.tensor([len(row) for row in rows]), torch.tensor(labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of logits [B, C] and labels [B], with label smoothing and class weights."""
        options = self.optimisation
        weights = self.class_weights.to(logits.device) if options.balance else None
        return F.cross_entropy(logits, labels, weights, label_smoothing=options.label_smoothing)

    def loss(self, ids: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, with `adversarial` the mean of the losses with and without a perturbation of the embeddings.

        The perturbation is r = epsilon * g / |g| with g the gradient of the loss (Miyato, Dai and Goodfellow 2017,
        eq. 2-3).
        """
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
        self.log_dict(values, on_epoch=True, batch_size=len(ids))

    def on_validation_epoch_end(self) -> None:
        metrics = self.trainer.callback_metrics
        self.log("valid_score", self.recall.compute() - 0.01 * metrics["valid_loss"])
