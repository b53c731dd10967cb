"""Training of a recipe's network in a run folder. An interrupted run resumes after its last epoch.

runs/<recipe>/  tokenizer.json | task.json | last.ckpt | best.ckpt
"""

import json
import os
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, Timer, TQDMProgressBar
from tokenizers import Tokenizer

from training.pretraining import PretrainingTask
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, PrecisionName, recipe_hash
from training.tasks import AnyTask, ClassificationTask, GenerationTask, TranslationTask, new_task


class RunError(RuntimeError):
    """The run folder cannot be used. The message gives the reason and the remedy."""


def run_folder(recipe: AnyRecipe) -> Path:
    """Folder of a recipe's run, in LIMELIGHT_RUNS or `runs`."""
    return Path(os.environ.get("LIMELIGHT_RUNS", "runs")) / recipe.name


def open_task(recipe: AnyRecipe) -> AnyTask:
    """The task of a run with its tokenizer and labels, and with random weights. Raises RunError."""
    folder = run_folder(recipe)
    if not (folder / "task.json").is_file():
        raise RunError(f"{folder} has no run; fit {recipe.name} first")
    saved = json.loads((folder / "task.json").read_text())
    if saved["recipe_hash"] != recipe_hash(recipe):
        raise RunError(f"{folder} was trained with another version of this recipe; delete it or restore the recipe")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if isinstance(recipe, ClassificationRecipe):
        return ClassificationTask(recipe, saved["labels"], tokenizer)
    if isinstance(recipe, GenerationRecipe):
        return GenerationTask(recipe, tokenizer)
    return TranslationTask(recipe, tokenizer)


def hardware() -> str:
    """Name of the processor or GPU, for the card."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{threads} CPU core{'s' if threads > 1 else ''}"


def load_best(recipe: AnyRecipe) -> AnyTask:
    """The task of a run with its best weights. Raises RunError."""
    task = open_task(recipe)
    path = run_folder(recipe) / "best.ckpt"
    if not path.is_file():
        raise RunError(f"{path} is missing; fit {recipe.name} for at least one epoch")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict(state)
    return task.eval()


def prepare_run(recipe: AnyRecipe) -> AnyTask:
    """Open the run folder, or create it with a new tokenizer."""
    folder = run_folder(recipe)
    if (folder / "task.json").is_file():
        return open_task(recipe)
    task = new_task(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    task.tokenizer.save(str(folder / "tokenizer.json"))
    labels = task.labels if isinstance(task, ClassificationTask) else None
    saved = {"recipe_hash": recipe_hash(recipe), "labels": labels, "minutes": 0.0, "epochs": [], "hardware": hardware()}
    (folder / "task.json").write_text(json.dumps(saved))
    return task


def training_minutes(recipe: AnyRecipe) -> float:
    """Training time of the run, pre-training included."""
    folder = run_folder(recipe)
    journals = [path for path in (folder / "task.json", folder / "pretraining" / "task.json") if path.is_file()]
    return round(sum(json.loads(path.read_text())["minutes"] for path in journals), 2)


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


class Journal(L.Callback):
    """Writes time and metrics to task.json after each epoch."""

    def __init__(self, folder: Path):
        self.path = folder / "task.json"

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.since = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        now = time.monotonic()
        saved = json.loads(self.path.read_text())
        saved["minutes"] = round(saved["minutes"] + (now - self.since) / 60, 2)
        metrics = {name: round(float(value), 5) for name, value in sorted(trainer.callback_metrics.items())}
        saved["epochs"] = saved["epochs"][: trainer.current_epoch] + [metrics]
        self.path.write_text(json.dumps(saved))
        self.since = now


def fit(recipe: AnyRecipe, epochs: int | None = None, minutes: float | None = None) -> Path:
    """Start or resume a run, and return its folder.

    `epochs` overrides the recipe's. `minutes` limits the training time; the learning rate is zero at its end. Raises
    RecipeError, CorpusError or RunError before any training.
    """
    L.seed_everything(recipe.seed, verbose=False)
    task, folder = prepare_run(recipe), run_folder(recipe)
    if isinstance(task, ClassificationTask) and task.recipe.pretraining and not task.recipe.warm_start:
        task.pretrained = pretrain(task, folder / "pretraining")
    train(task, folder, epochs or recipe.optimisation.epochs, minutes)
    return folder


def pretrain(task: ClassificationTask, folder: Path) -> Path:
    """Pre-train embedding and first layer, and return the checkpoint."""
    journal = folder / "task.json"
    if not journal.is_file():
        folder.mkdir(exist_ok=True)
        journal.write_text(json.dumps({"minutes": 0.0, "epochs": []}))
    pretraining = PretrainingTask(task.recipe, task.tokenizer)
    if len(json.loads(journal.read_text())["epochs"]) < pretraining.options.epochs:
        train(pretraining, folder, pretraining.options.epochs)
    return folder / "best.ckpt"


def train(task: AnyTask | PretrainingTask, folder: Path, epochs: int, minutes: float | None = None) -> None:
    """Train a task in a folder with a task.json. Training resumes from the last checkpoint if there is one."""
    options, last = task.optimisation, folder / "last.ckpt"
    timer = Timer(duration=timedelta(minutes=minutes)) if minutes else None
    if timer is not None:
        task.elapsed_share = lambda: timer.time_elapsed() / (60 * (minutes or 1))
    monitor, mode = task.monitor
    task.load("train")
    task.load("valid")
    # Two callbacks: `save_last` writes the last epoch only if it is the best.
    callbacks: list[L.Callback] = [
        ModelCheckpoint(folder, "best", monitor=monitor, mode=mode, enable_version_counter=False),
        ModelCheckpoint(folder, "last", enable_version_counter=False),
        EarlyStopping(monitor, mode=mode, patience=options.patience),
        EMAWeightAveraging(decay=options.average),
        TQDMProgressBar(refresh_rate=20),
        Journal(folder),
        *([timer] if timer is not None else []),
    ]
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=epochs,
        precision="bf16-mixed" if chosen_precision(options.precision) == "bfloat16" else "32-true",
        gradient_clip_val=1.0,
        callbacks=callbacks,
        logger=False,
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    if not last.is_file():
        task.initialise()
    with warnings.catch_warnings():
        for advice in (
            ".*does not have many workers",  # the examples are in memory
            ".*exists and is not empty",  # the folder holds the tokenizer and checkpoints
            ".*number of training batches .* is smaller than the logging interval",
        ):
            warnings.filterwarnings("ignore", message=advice)
        trainer.fit(task, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
