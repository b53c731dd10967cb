"""Train variants of a recipe and compare their quality and cost."""

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.bundle.files import read_manifest
from training import report
from training.card import table
from training.evaluate import evaluate
from training.export.bundle import export
from training.fit import fit
from training.recipe import ClassificationRecipe, RecipeError, varied
from training.run import read_journal, run_folder
from training.scores import length_counts, length_curve

HEADER = ["accuracy", "macro F1", "parameters", "s/epoch", "CPU ms"]


@dataclass(frozen=True)
class Row:
    """Results of one variant."""

    choices: tuple[str, ...]
    """Value of each varied key."""
    accuracy: float
    macro_f1: float
    parameters: int
    seconds_per_epoch: float
    latency_ms: float
    """Median time of the exported graph for one text of 30 tokens, on one thread."""

    def cells(self) -> list[str]:
        """Cells of the table."""
        measured = f"{self.accuracy:.4f} {self.macro_f1:.4f} {self.parameters:,} {self.seconds_per_epoch:.1f}"
        return [*self.choices, *measured.split(), f"{self.latency_ms:.2f}"]


def parse_vary(options: list[str]) -> dict[str, list[str]]:
    """["attention=dot,general"] -> {"attention": ["dot", "general"]}. Raises RecipeError."""
    grid = {}
    for option in options:
        key, _, values = option.partition("=")
        if not key or not all(values.split(",")):
            raise RecipeError(f"--vary takes key=value,value with keys of the recipe's [network], not {option!r}")
        grid[key] = values.split(",")
    return grid


def compare(recipe: ClassificationRecipe, grid: dict[str, list[str]], epochs: int | None, into: Path) -> list[Row]:
    """Train, export and measure every combination on the validation split. Write a table and a plot to a folder.

    Raises RecipeError before any training if a combination is not a valid recipe.
    """
    combinations = list(itertools.product(*grid.values()))
    variants = [varied(recipe, dict(zip(grid, choices, strict=True))) for choices in combinations]
    rows = [measure(variant, choices, epochs) for variant, choices in zip(variants, combinations, strict=True)]
    into.mkdir(parents=True, exist_ok=True)
    picture = report.comparison([(" ".join(row.choices), row.accuracy) for row in rows], into / f"{recipe.name}.png")
    title = f"# {recipe.name}: {' x '.join(grid)}\n\n"
    rows_used = f"Trained on {recipe.data.rows:,} texts. " if recipe.data.rows else ""
    method = rows_used + (
        f"Measured on the validation split after up to {epochs or recipe.optimisation.epochs} epochs, "
        f"seed {recipe.seed}. CPU ms: median for one text of 30 tokens on one thread.\n\n"
    )
    text = (
        title + method + table([*grid, *HEADER], [row.cells() for row in rows]) + f"\n\n![accuracy]({picture.name})\n"
    )
    (into / f"{recipe.name}.md").write_text(text, encoding="utf-8")
    return rows


def compare_lengths(folders: list[Path], into: Path) -> list[list[str]]:
    """Compare BLEU by source length of several bundles. Write a table and a plot to a folder.

    The bundles' metrics must come from the same sentences.
    """
    manifests = [read_manifest(folder) for folder in folders]
    curves = {manifest.name: length_curve(manifest.metrics) for manifest in manifests}
    lengths = list(dict.fromkeys(length for curve in curves.values() for length in curve))
    counts = length_counts(manifests[0].metrics)
    rows = [[name, *(f"{curve[n]:.1f}" if n in curve else "" for n in lengths)] for name, curve in curves.items()]
    rows.append(["sentences", *(counts.get(n, "") for n in lengths)])
    into.mkdir(parents=True, exist_ok=True)
    picture = report.bleu_by_length(curves, into / "lengths.png")
    text = f"# BLEU by source length\n\n{table(['words', *lengths], rows)}\n\n![BLEU]({picture.name})\n"
    (into / "lengths.md").write_text(text, encoding="utf-8")
    return [["words", *lengths], *rows]


def measure(recipe: ClassificationRecipe, choices: tuple[str, ...], epochs: int | None) -> Row:
    """Train, export and evaluate one variant."""
    fit(recipe, epochs)
    with tempfile.TemporaryDirectory() as models:
        folder = export(recipe, Path(models))
        manifest, _ = evaluate(recipe, Path(models), "valid")
        latency = graph_latency_ms(folder / "classify.onnx")
    metrics = {metric.name: metric.value for metric in manifest.metrics}
    journal = read_journal(run_folder(recipe))
    return Row(
        choices,
        metrics["accuracy"],
        metrics["macro F1"],
        manifest.architecture.parameters,
        60 * journal["minutes"] / len(journal["epochs"]),
        latency,
    )


def graph_latency_ms(path: Path, length: int = 30, runs: int = 200) -> float:
    """Median time of a classifier graph for one text, on one thread, in milliseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"ids": np.full((1, length), 5), "lengths": np.array([length])}
    times = []
    for _ in range(runs):
        since = time.perf_counter()
        session.run(None, inputs)
        times.append(1000 * (time.perf_counter() - since))
    return float(np.median(times))
