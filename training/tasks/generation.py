"""Language modelling of running text."""

import random
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader

from training.corpora import Split, running_text
from training.networks.language import (
    LanguageModel,
    LanguageModelState,
    RecurrentLanguageModel,
    TransformerLanguageConfig,
    TransformerLanguageModel,
)
from training.recipe import GenerationRecipe
from training.start import copy_matching_weights, stored_bundle
from training.tasks.task import Batch, Task
from training.tokenization import EOS, special_id, train_tokenizer


def build_language_model(recipe: GenerationRecipe, vocabulary: int) -> LanguageModel:
    """The network of a recipe, with random weights."""
    if isinstance(recipe.network, TransformerLanguageConfig):
        return TransformerLanguageModel(recipe.network, vocabulary)
    return RecurrentLanguageModel(recipe.network, vocabulary)


class GenerationTask(Task):
    """Trains a language model by truncated back-propagation through time.

    The text is split into parallel streams, each read in segments. The state continues from one segment to the next;
    the gradient does not.
    """

    recipe: GenerationRecipe
    network: LanguageModel

    def __init__(self, recipe: GenerationRecipe, tokenizer: Tokenizer):
        super().__init__(recipe, tokenizer)
        self.eos_id = special_id(tokenizer, EOS)
        self.network = build_language_model(recipe, tokenizer.get_vocab_size())
        self.stream_state: LanguageModelState | None = None
        """State of all streams after the last segment."""

    @classmethod
    def new(cls, recipe: GenerationRecipe) -> "GenerationTask":
        """A task with a new tokenizer."""
        return cls(recipe, train_tokenizer([running_text(recipe.data, "train")], recipe.tokenizer))

    def load(self, split: Split) -> None:
        """Read the text as ids, with </s> at its end."""
        text = running_text(self.recipe.data, split)
        self.examples[split] = [*self.tokenizer.encode(text).ids, self.eos_id]

    def initialise(self) -> None:
        if self.recipe.warm_start is not None:
            copy_matching_weights(self.network, self.tokenizer, stored_bundle(self.recipe.warm_start))

    def loader(self, split: Split, seed: int | None = None) -> "DataLoader[Any]":
        """Segments of all streams, in order: inputs [B, T] and the tokens after them [B, T]."""
        ids, options = torch.tensor(self.examples[split]), self.optimisation
        # The start is random, so that streams and segments are cut at other positions in each epoch.
        start = 0 if seed is None else random.Random(seed).randrange(options.stretch)
        streams = max(1, min(options.batch_tokens // options.stretch, len(ids) // (2 * options.stretch)))
        length = (len(ids) - 1 - start) // streams
        rows = torch.stack([ids[start + n * length : start + (n + 1) * length + 1] for n in range(streams)])
        inputs, targets = rows[:, :-1], rows[:, 1:]
        segments = list(zip(inputs.split(options.stretch, 1), targets.split(options.stretch, 1), strict=True))
        return DataLoader(segments, batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        self.stream_state = None

    def on_validation_epoch_start(self) -> None:
        self.stream_state = None

    def on_validation_epoch_end(self) -> None:
        self.stream_state = None

    def loss(self, batch: Batch, label_smoothing: float) -> Tensor:
        """Cross-entropy per token."""
        inputs, targets = batch
        state = self.stream_state if self.stream_state is not None else self.network.initial_state(len(inputs))
        output = self.network(inputs, state)
        self.stream_state = output.state.detach()
        logits = self.network.logits(output.states)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), label_smoothing=label_smoothing)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        loss = self.loss(batch, self.optimisation.label_smoothing)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=batch[0].numel())
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        self.log("valid_loss", self.loss(batch, 0.0), prog_bar=True, on_epoch=True, batch_size=batch[0].numel())
