"""Training of a recipe's network in a run folder. An interrupted run resumes after its last epoch."""

import json
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Timer

from training.distributed import RankData, of_rank_0, process_group, rank, rank_0_first, trainer_options, world_size
from training.pretraining import PretrainingTask
from training.progress import ProgressLine, console, quiet
from training.recipe import AnyRecipe, PrecisionName
from training.run import prepare_run, read_journal, run_folder
from training.tasks import AnyTask, ClassificationTask


def bfloat16_is_fast() -> bool:
    """True if the GPU or the processor has bfloat16 instructions (AVX-512 BF16, AMX)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def chosen_precision(wanted: PrecisionName) -> Literal["float32", "bfloat16"]:
    """Resolve `auto` and print the choice. Warn if bfloat16 is slow on this processor."""
    fast = bfloat16_is_fast()
    if wanted == "auto":
        wanted = "bfloat16" if fast else "float32"
        print(f"precision: {wanted} (bfloat16 is {'fast' if fast else 'slow'} on this processor)")
    elif wanted == "bfloat16" and not fast:
        warnings.warn("this processor is slow in bfloat16; the precision `auto` would choose float32", stacklevel=2)
    return wanted


SMALL_BATCH = 1_000
"""Tokens of a batch below which a second core costs more time than it saves."""


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Use a number of cores for tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Journal(L.Callback):
    """Writes time and metrics to task.json after each epoch."""

    def __init__(self, folder: Path):
        self.path = folder / "task.json"

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.since = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        now = time.monotonic()
        # A rank knows the training loss of its share only.
        values = {name: trainer.strategy.reduce(value) for name, value in sorted(trainer.callback_metrics.items())}
        if not trainer.is_global_zero:
            return
        saved = json.loads(self.path.read_text())
        saved["minutes"] = round(saved["minutes"] + (now - self.since) / 60, 2)
        metrics = {name: round(float(value), 5) for name, value in values.items()}
        saved["epochs"] = saved["epochs"][: trainer.current_epoch] + [metrics]
        self.path.write_text(json.dumps(saved))
        self.since = now


def fit(recipe: AnyRecipe, epochs: int | None = None, minutes: float | None = None, fresh: bool = False) -> Path:
    """Start or resume a run, and return its folder. A finished run is not trained again, unless `fresh` deletes it.

    `epochs` overrides the recipe's. `minutes` limits the training time; the learning rate is zero at its end. Under
    `torchrun` the processes train one network together. Raises RecipeError, CorpusError or RunError before any
    training.
    """
    with process_group():
        return fit_together(recipe, epochs or recipe.optimisation.epochs, minutes, fresh)


def fit_together(recipe: AnyRecipe, last: int, minutes: float | None, fresh: bool) -> Path:
    """`fit` in each process of a group, or in one process. `last` is the number of epochs."""
    L.seed_everything(recipe.seed, verbose=False)
    folder = run_folder(recipe)
    with rank_0_first():
        if fresh and rank() == 0 and folder.exists():
            shutil.rmtree(folder)
        task = prepare_run(recipe)
    done, limit = read_journal(folder).get("finished") or [0, None]
    if done >= last and (limit is None or minutes is not None and minutes <= limit):
        console.print(f"{folder} is finished; nothing to train (--fresh trains again)")
        return folder
    if isinstance(task, ClassificationTask) and task.recipe.pretraining and not task.recipe.warm_start:
        task.pretrained = pretrain(task, folder / "pretraining")
    train(task, folder, last, minutes)
    if rank() == 0:
        (folder / "task.json").write_text(json.dumps({**read_journal(folder), "finished": [last, minutes]}))
    return folder


def pretrain(task: ClassificationTask, folder: Path) -> Path:
    """Pre-train embedding and first layer, and return the checkpoint."""
    with rank_0_first():
        if not (folder / "task.json").is_file():
            folder.mkdir(exist_ok=True)
            (folder / "task.json").write_text(json.dumps({"minutes": 0.0, "epochs": []}))
    pretraining = PretrainingTask(task.recipe, task.tokenizer)
    if len(read_journal(folder)["epochs"]) < pretraining.options.epochs:
        train(pretraining, folder, pretraining.options.epochs)
    return folder / "best.ckpt"


def train(task: AnyTask | PretrainingTask, folder: Path, epochs: int, minutes: float | None = None) -> None:
    """Train a task in a folder with a task.json. Training resumes from the last checkpoint if there is one."""
    options, last = task.optimisation, folder / "last.ckpt"
    timer = Timer(duration=timedelta(minutes=minutes), verbose=False) if minutes else None
    if timer is not None:
        task.elapsed_share = lambda: of_rank_0(timer.time_elapsed() / (60 * (minutes or 1)))
    monitor, mode = task.monitor
    task.load("train")
    task.load("valid")
    # Two callbacks: `save_last` writes the last epoch only if it is the best.
    callbacks: list[L.Callback] = [
        ModelCheckpoint(folder, "best", monitor=monitor, mode=mode, enable_version_counter=False),
        ModelCheckpoint(folder, "last", enable_version_counter=False),
        EarlyStopping(monitor, mode=mode, patience=options.patience),
        EMAWeightAveraging(decay=options.average),
        ProgressLine("pre-train" if isinstance(task, PretrainingTask) else "train", task.shown),
        Journal(folder),
        *([timer] if timer is not None else []),
    ]
    trainer = L.Trainer(
        accelerator="auto",
        **trainer_options(),
        max_epochs=epochs,
        precision="bf16-mixed" if chosen_precision(options.precision) == "bfloat16" else "32-true",
        gradient_clip_val=1.0,
        callbacks=callbacks,
        logger=False,
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    if not last.is_file():
        task.initialise()
    with warnings.catch_warnings(), threads(1 if options.batch_tokens < SMALL_BATCH else torch.get_num_threads()):
        quiet()
        data = None
        if world_size() > 1:
            L.seed_everything(task.recipe.seed + rank(), verbose=False)  # dropout differs between ranks
            data = RankData(task)
        trainer.fit(task, datamodule=data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
