"""Pictures of the model cards and of the comparisons."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# DejaVu Sans comes with matplotlib but has no Hangul. The installed ones of the other fonts are fallbacks.
FONTS = ["DejaVu Sans", "NanumGothic", "Noto Sans CJK KR", "Noto Sans CJK JP"]
plt.rcParams["font.family"] = [font for font in FONTS if font in font_manager.get_font_names()]

Floats = NDArray[np.floating]


def save(figure: Figure, path: Path) -> Path:
    """Write a figure and close it. The file has no software version, so that equal pictures are equal files."""
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return path


def attention_heatmap(weights: Floats, queries: Sequence[str], keys: Sequence[str], title: str, path: Path) -> Path:
    """Draw weights [Q, K] as a grid: one row per query, one column per key. Higher weights are darker."""
    height, width = weights.shape
    figure, axes = plt.subplots(figsize=(0.55 * width + 1.6, 0.42 * height + 1.2))
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=max(float(weights.max()), 1e-9), aspect="auto")
    axes.set_xticks(range(width), keys, rotation=45, ha="left", rotation_mode="anchor", fontsize=11)
    axes.set_yticks(range(height), queries, fontsize=11)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row in range(height):
        for column in range(width):
            if weights[row, column] >= 0.005:
                shade = "white" if weights[row, column] > 0.6 * weights.max() else "#123"
                text = f"{weights[row, column]:.2f}".removeprefix("0")
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=shade)
    axes.set_xlabel(title, fontsize=10, labelpad=8)
    return save(figure, path)


def confusion_matrix(confusion: Floats, labels: Sequence[str], path: Path) -> Path:
    """Draw text counts [true label, predicted label], shaded by their share of the true label."""
    figure, axes = plt.subplots(figsize=(1.1 * len(labels) + 1.6, 0.9 * len(labels) + 1.2))
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        shade = "white" if share > 0.6 else "#123"
        axes.text(column, row, f"{confusion[row, column]:.0f}", ha="center", va="center", color=shade)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return save(figure, path)


def learning_curves(epochs: Sequence[Mapping[str, float]], path: Path) -> Path:
    """Draw training and validation loss by epoch. The training loss includes label smoothing and dropout."""
    figure, axes = plt.subplots(figsize=(5, 3))
    for name, metric in (("training", "train_loss"), ("validation", "valid_loss")):
        axes.plot(range(1, len(epochs) + 1), [epoch[metric] for epoch in epochs], marker="o", markersize=3, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return save(figure, path)


def comparison(accuracies: Sequence[tuple[str, float]], path: Path) -> Path:
    """Draw one bar per variant. The axis starts below the lowest accuracy, so that differences are visible."""
    names, values = zip(*accuracies, strict=True)
    figure, axes = plt.subplots(figsize=(5.5, 0.32 * len(names) + 0.9))
    axes.barh(range(len(names)), values, color="#4a7fb5")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(min(values) - 0.02, min(1.0, max(values) + 0.01))
    axes.bar_label(axes.containers[0], fmt="%.4f", padding=3, fontsize=8)  # type: ignore[arg-type]
    axes.set_xlabel("accuracy (the axis does not start at 0)")
    return save(figure, path)


def bleu_by_length(curves: Mapping[str, Mapping[str, float]], path: Path) -> Path:
    """Draw one line per model: words of the source -> BLEU, in the order of the curves."""
    figure, axes = plt.subplots(figsize=(5, 3))
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker="o", markersize=3, label=name)
    axes.set_xlabel("words of the source")
    axes.set_ylabel("BLEU")
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left")
    return save(figure, path)


COLUMNS = 76
"""Characters per line."""


def generated_text(prompt: str, tokens: Sequence[tuple[str, float]], path: Path) -> Path:
    """Draw a prompt in grey and its continuation: tokens with their log-probabilities. Unlikely tokens have a darker
    background."""
    places: list[tuple[int, int, str, float | None]] = []
    row = column = 0
    for text, log_prob in [(prompt, None), *tokens]:
        for character in text:
            if character == "\n" or column == COLUMNS:
                row, column = row + 1, 0
            if character != "\n":
                places.append((row, column, character, log_prob))
                column += 1
    figure, axes = plt.subplots(figsize=(0.115 * COLUMNS, 0.26 * (row + 1)))
    for row, column, character, log_prob in places:
        if log_prob is not None:
            shade = plt.get_cmap("Greens")(0.75 * (1 - np.exp(log_prob)))
            axes.add_patch(Rectangle((column, -row - 1), 1, 1, color=shade, linewidth=0))
        ink = "#888" if log_prob is None else "#123"
        axes.text(column + 0.5, -row - 0.5, character, ha="center", va="center", family="DejaVu Sans Mono", color=ink)
    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(-max(place[0] for place in places) - 1, 0)
    axes.axis("off")
    return save(figure, path)


def ngrams(
    orders: Sequence[int],
    unseen: Sequence[float],
    smoothings: Mapping[str, Sequence[float]],
    networks: Mapping[str, float],
    path: Path,
) -> Path:
    """Draw bits per character by n-gram order, with one horizontal line per network. A second plot shows the share of
    unseen n-grams."""
    figure, (axes, below) = plt.subplots(2, figsize=(6, 5), height_ratios=[3, 2], sharex=True)
    for name, bits in smoothings.items():
        axes.plot(orders, bits, marker="o", markersize=4, label=name)
    shades = plt.get_cmap("viridis")(np.linspace(0.1, 0.85, max(len(networks), 1)))
    for shade, (name, level) in zip(shades, sorted(networks.items(), key=lambda item: -item[1]), strict=False):
        axes.axhline(level, linestyle="--", linewidth=1.2, color=shade, label=f"{name} ({level:.2f})")
    axes.set_ylabel("bits per character")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    below.bar(orders, [100 * share for share in unseen], color="#4a7fb5")
    below.set_ylabel("unseen, %")
    below.set_xlabel("order of the n-gram")
    below.set_xticks(orders)
    return save(figure, path)


def reliability(probability: Floats, correct: NDArray[np.bool_], path: Path, bins: int = 10) -> Path:
    """Reliability diagram (Niculescu-Mizil and Caruana 2005): accuracy by predicted probability, and the diagonal of a
    calibrated model. A second plot shows the number of texts.

    probability [N] of the predicted label, correct [N].
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(probability, edges) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    mean_probability = np.bincount(place, probability, bins)[filled] / counts[filled]
    accuracy = np.bincount(place, correct, bins)[filled] / counts[filled]
    figure, (axes, below) = plt.subplots(2, figsize=(4, 4), height_ratios=[3, 1], sharex=True)
    axes.plot([0, 1], [0, 1], linestyle="--", color="#999", linewidth=1)
    axes.plot(mean_probability, accuracy, marker="o", markersize=4)
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    below.bar(edges[:-1], counts, width=1 / bins, align="edge", color="#4a7fb5")
    below.set_ylabel("texts")
    below.set_xlabel("probability of the label")
    below.set_xlim(max(0.0, edges[int(np.flatnonzero(filled)[0])] - 0.05), 1.02)
    return save(figure, path)
