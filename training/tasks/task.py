"""The base of all tasks: optimiser, learning rate, batches."""

from collections.abc import Callable
from typing import Any, Literal

import lightning as L
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training.batching import TokenBatches
from training.corpora import Split
from training.recipe import AnyRecipe
from training.tokenization import PAD, set_sampling, special_id

Batch = tuple[Tensor, ...]


class Task(L.LightningModule):
    """Base class of the tasks."""

    recipe: AnyRecipe
    network: nn.Module
    monitor: tuple[str, Literal["min", "max"]] = ("valid_loss", "min")
    """Metric that selects the best epoch."""
    shown: str = "valid_loss"
    """Metric in the line of progress."""

    def __init__(self, recipe: AnyRecipe, tokenizer: Tokenizer):
        super().__init__()
        self.recipe = recipe
        self.optimisation = recipe.optimisation
        self.tokenizer = tokenizer
        self.pad_id = special_id(tokenizer, PAD)
        self.examples: dict[Split, list[Any]] = {}
        self.elapsed_share: Callable[[], float] | None = None
        """Elapsed share of the training time, if it is limited. The learning rate then depends on it."""

    def load(self, split: Split) -> None:
        """Read the rows of a split into `examples`. Raises CorpusError."""
        raise NotImplementedError

    @property
    def varies(self) -> bool:
        """True if `load` gives different training examples in each epoch."""
        return self.recipe.tokenizer.sampling > 0

    def initialise(self) -> None:
        """Set the initial weights that the recipe asks for. Raises StartError."""

    def length(self, example: Any) -> int:
        """Padded tokens of an example."""
        raise NotImplementedError

    def collate(self, examples: list[Any]) -> Batch:
        """Examples -> batch."""
        raise NotImplementedError

    def loader(self, split: Split, seed: int | None = None) -> "DataLoader[Any]":
        """Batches of a split. Without a seed their order is fixed."""
        examples = self.examples[split]
        batches = TokenBatches([self.length(e) for e in examples], self.optimisation.batch_tokens, seed)
        return DataLoader(examples, batch_sampler=batches, collate_fn=self.collate)  # type: ignore[arg-type]

    def train_dataloader(self) -> "DataLoader[Any]":
        """Batches of the current epoch. Examples that vary are read again."""
        if self.varies:
            set_sampling(self.tokenizer, self.recipe.tokenizer, self.recipe.tokenizer.sampling)
            self.load("train")
            set_sampling(self.tokenizer, self.recipe.tokenizer, 0)
        # The seed depends on the epoch, so that a resumed run has the batches of an uninterrupted one.
        return self.loader("train", seed=self.recipe.seed * 1000 + self.current_epoch)

    def val_dataloader(self) -> "DataLoader[Any]":
        return self.loader("valid")

    def configure_optimizers(self) -> Any:
        """AdamW. The rate increases for `warmup_steps`, then decreases linearly to zero at the end of the last epoch,
        or at the end of a limited time."""
        options = self.optimisation
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=options.weight_decay
        )
        steps = max(int(self.trainer.estimated_stepping_batches), options.warmup_steps + 1)

        def rate(step: int) -> float:
            if self.elapsed_share is None:
                remaining = (steps - step) / (steps - options.warmup_steps)
            else:
                remaining = 1 - self.elapsed_share()
            return max(0.0, min(remaining, (step + 1) / max(options.warmup_steps, 1)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
