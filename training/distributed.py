"""Training in several processes: `torchrun --nproc-per-node 2 -m training fit RECIPE`.

All ranks read the same global batches in the same order, and rank r takes every world-th example of each from the
r-th on. A batch has examples of similar lengths, so the shares cost about the same. The gradient of a rank is weighted
by its number of tokens, so that the sum over the ranks is the gradient of one process for the global batch.

Legend: B batch, T target length.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import singledispatch
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from training.pretraining import PretrainingTask
from training.progress import console
from training.tasks import AnyTask, Batch, ClassificationTask, GenerationTask, TranslationTask

Weighted = tuple[Batch, float]
"""The share of a rank in a batch, and 1, or 0 if the share has no example."""


def world_size() -> int:
    """Number of processes. More than 1 only under `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes. Only rank 0 prints. One process does nothing here."""
    if world_size() == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        if rank() == 0:
            yield
            return
        console.quiet = True
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
            yield
    finally:
        console.quiet = False
        dist.destroy_process_group()


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Rank 0 runs the block alone, then the others run it: they find the files that rank 0 wrote."""
    if world_size() > 1 and rank() > 0:
        dist.barrier()
    yield
    if world_size() > 1 and rank() == 0:
        dist.barrier()


def of_rank_0(value: float) -> float:
    """The value that rank 0 has."""
    if world_size() == 1:
        return value
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


# The share of a rank


class RankBatches(Sampler[list[int]]):
    """The share of a rank in each batch. It is empty if the batch has fewer examples than there are ranks.

    >>> list(RankBatches([[5, 1, 2], [4]], rank=1, world=2))
    [[1], []]
    """

    def __init__(self, batches: Iterable[list[int]], rank: int, world: int):
        self.batches, self.rank, self.world = list(batches), rank, world

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.rank :: self.world] for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def share_of_rows(batch: Batch, rank: int, world: int) -> Weighted:
    """Rows of a rank in a batch of tensors [B, ...]. A rank without rows takes the first one with weight 0."""
    if rank < len(batch[0]):
        return tuple(rows[rank::world] for rows in batch), 1.0
    return tuple(rows[:1] for rows in batch), 0.0


def rank_loader(loader: "DataLoader[Any]", rank: int, world: int) -> "DataLoader[Any]":
    """The share of a rank in each batch of a loader, as Weighted. Every rank has the same number of batches."""
    dataset: Any = loader.dataset
    if loader.batch_sampler is None:
        return DataLoader([share_of_rows(batch, rank, world) for batch in dataset], batch_size=None)  # type: ignore[arg-type]

    def collate(examples: list[Any]) -> Weighted:
        # Every rank takes part in the sum of gradients, with weight 0 if it has no example.
        return loader.collate_fn(examples or [dataset[0]]), float(bool(examples))

    batches = RankBatches(loader.batch_sampler, rank, world)
    return DataLoader(dataset, batch_sampler=batches, collate_fn=collate)


class RankData(L.LightningDataModule):
    """The batches of a task for this rank. Each rank validates on the whole split, so all select the same epoch."""

    def __init__(self, task: AnyTask | PretrainingTask):
        super().__init__()
        self.task = task

    def train_dataloader(self) -> "DataLoader[Any]":
        loader = self.task.train_dataloader()
        if self.task.recipe.tokenizer.sampling:  # drawn by a generator without a seed
            examples = [self.task.examples["train"]]
            dist.broadcast_object_list(examples, 0)
            self.task.examples["train"] = examples[0]
            loader = self.task.loader("train", self.task.recipe.seed * 1000 + self.task.current_epoch)
        return rank_loader(loader, rank(), world_size())

    def val_dataloader(self) -> "DataLoader[Any]":
        return self.task.val_dataloader()


# The gradient


@singledispatch
def terms(task: Any, batch: Batch) -> Tensor:
    """The sum of weights in the mean that is the loss of a batch: the number of tokens, or of texts."""
    raise NotImplementedError


@terms.register
def _(task: ClassificationTask, batch: Batch) -> Tensor:
    labels = batch[2]
    if task.optimisation.balance:
        return task.class_weights.to(labels.device)[labels].sum()
    return torch.tensor(float(len(labels)))


@terms.register
def _(task: TranslationTask, batch: Batch) -> Tensor:
    outputs_BT = batch[2]
    return (outputs_BT != task.pad_id).sum()


@terms.register
def _(task: GenerationTask, batch: Batch) -> Tensor:
    return torch.tensor(float(batch[1].numel()))


@terms.register
def _(task: PretrainingTask, batch: Batch) -> Tensor:
    return (batch[1] - 1).sum()


class WeightedDDP(DDPStrategy):
    """DDP whose gradient is the mean over the terms of all ranks, not the mean of the ranks' means.

    With n_r terms on rank r, the loss of the rank is multiplied by n_r * world / sum(n), and DDP divides by world.
    """

    def training_step(self, batch: Weighted, index: int) -> Tensor:
        share, counted = batch
        loss = super().training_step(share, index)
        assert isinstance(loss, Tensor)
        own = (terms(self.lightning_module, share).double() * counted).to(loss.device)
        total = own.clone()
        dist.all_reduce(total)
        return loss * (own * self.world_size / total).to(loss.dtype)


def trainer_options() -> dict[str, Any]:
    """Arguments of the Trainer for the processes of this run."""
    if world_size() == 1:
        return {"devices": 1}
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return {
        "devices": local,
        "num_nodes": world_size() // local,
        "strategy": WeightedDDP(process_group_backend=dist.get_backend()),
        "use_distributed_sampler": False,
    }
