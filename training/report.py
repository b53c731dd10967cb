"""The pictures of a model card: learning curves, confusion matrix, attention heatmaps."""

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

# DejaVu Sans comes with matplotlib but has no Hangul: of these, the ones that are installed help it out.
FONTS = ["DejaVu Sans", "NanumGothic", "Noto Sans CJK KR", "Noto Sans CJK JP"]
plt.rcParams["font.family"] = [font for font in FONTS if font in font_manager.get_font_names()]

Floats = NDArray[np.floating]


def save(figure: Figure, path: Path) -> Path:
    # No software version in the file: the same picture is the same bytes.
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return path


def attention_heatmap(weights: Floats, queries: Sequence[str], keys: Sequence[str], title: str, path: Path) -> Path:
    """weights [Q, K] as a grid: a row for each query, a column for each key; the darker, the more it looked."""
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
    """confusion [wanted, predicted] in numbers of texts, shaded by the share of each wanted label."""
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
    """Training and validation loss by epoch; the training loss includes label smoothing and dropout."""
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
    """One bar for each version; the axis starts below the worst, since the differences are what one looks for."""
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
    """One line for each model: words of the source -> BLEU, on the lengths in the order they come."""
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
"""Characters in a line of a text that is drawn."""


def written(prompt: str, tokens: Sequence[tuple[str, float]], path: Path) -> Path:
    """A prompt in grey and the tokens behind it with their log-probabilities, each on a ground that is the darker the
    less likely it was."""
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
    """Above, bits per character by the order of the n-grams, networks as level lines; below, the share of n-grams that
    were never seen."""
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
    below.set_ylabel("never seen, %")
    below.set_xlabel("order of the n-gram")
    below.set_xticks(orders)
    return save(figure, path)


def reliability(sure: Floats, right: NDArray[np.bool_], path: Path, bins: int = 10) -> Path:
    """How often the prediction is right [N] among those that are about as sure [N], beside the diagonal of an honest
    model; below, how many there are (Niculescu-Mizil and Caruana 2005)."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(sure, edges) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = counts > 0
    mean_sure = np.bincount(place, sure, bins)[filled] / counts[filled]
    mean_right = np.bincount(place, right, bins)[filled] / counts[filled]
    figure, (axes, below) = plt.subplots(2, figsize=(4, 4), height_ratios=[3, 1], sharex=True)
    axes.plot([0, 1], [0, 1], linestyle="--", color="#999", linewidth=1)
    axes.plot(mean_sure, mean_right, marker="o", markersize=4)
    axes.set_ylabel("right")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    below.bar(edges[:-1], counts, width=1 / bins, align="edge", color="#4a7fb5")
    below.set_ylabel("texts")
    below.set_xlabel("probability of the label")
    below.set_xlim(max(0.0, edges[int(np.flatnonzero(filled)[0])] - 0.05), 1.02)
    return save(figure, path)
