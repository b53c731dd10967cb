"""One line of progress per stage, with the time left. Library messages that do not help the user are suppressed."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(soft_wrap=True, highlight=False)

NOISY = ("lightning", "lightning.pytorch", "lightning.fabric", "torch.onnx", "onnxscript", "onnx_ir", "gensim")
"""Loggers with notes about hardware, products and versions."""


def quiet() -> None:
    """Suppress notes and warnings of libraries for this process. Errors and our own warnings remain."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(lightning|torch|torchmetrics|onnx|onnxscript|gensim|copyreg|sklearn)\b")
    for advice in (
        ".*does not have many workers",
        ".*exists and is not empty",
        ".*smaller than the logging interval",
        "Glyph .* missing",
    ):
        warnings.filterwarnings("ignore", message=advice)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Show the name of a stage while it runs, and its time afterwards."""
    with line(name) as (progress, task):
        yield
        progress.update(task, total=1, completed=1)


@contextmanager
def line(name: str) -> Iterator[tuple[Progress, TaskID]]:
    """A line of progress. In a terminal it is updated; elsewhere it is written once, at the end."""
    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if console.is_terminal:
        with Progress(*columns, console=console) as progress:
            yield progress, progress.add_task(name, total=None, note="")
        return
    with Progress(console=Console(quiet=True)) as progress:
        task = progress.add_task(name, total=None, note="")
        yield progress, task
        state = progress.tasks[0]
        console.print(f"{name:9} {state.fields['note']} {state.elapsed or 0:.0f} s".replace("  ", " "))


class ProgressLine(L.Callback):
    """The line of the stage `train`: epoch, the monitored metric and the time left."""

    def __init__(self, name: str, monitor: str):
        self.name, self.monitor = name, monitor

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.context = line(self.name)
        self.progress, self.task = self.context.__enter__()
        batches = int(trainer.num_training_batches)
        self.progress.update(self.task, total=batches * (trainer.max_epochs or 1))
        self.progress.update(self.task, completed=batches * trainer.current_epoch)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.progress.advance(self.task)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        shown = f", {self.monitor.replace('_', ' ')} {float(value):.3f}" if value is not None else ""
        self.progress.update(self.task, note=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{shown}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """End the line."""
        self.context.__exit__(None, None, None)
