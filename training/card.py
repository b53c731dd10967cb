"""The model card: purpose, limits, results, data and training of a bundle."""

from collections.abc import Mapping
from pathlib import Path

from service.bundle.manifest import ClassificationManifest, Manifest, Metric, TranslationManifest


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines)


def model_card(
    manifest: Manifest, pictures: Mapping[str, Path] | None = None, verdict: str = "", section: str = ""
) -> str:
    """The bundle's README.md, from its manifest, pictures (caption -> file in the bundle's folder) and verdict.

    section: a further section, before that of the data.
    """
    recipe, training, architecture = manifest.training.recipe, manifest.training, manifest.architecture
    metrics = [[m.name, f"{m.value:.4g}", m.data, m.detail] for m in manifest.metrics]
    what = f", labels {', '.join(manifest.labels)}" if isinstance(manifest, ClassificationManifest) else ""
    what += f", {manifest.source} -> {manifest.target}" if isinstance(manifest, TranslationManifest) else ""
    unit = {"classification": "text", "translation": "sentence", "generation": "prompt"}[manifest.task]
    cell = f", {'bidirectional ' if architecture.bidirectional else ''}{architecture.cell}" if architecture.cell else ""
    results = table(["metric", "value", "data", "method"], metrics) if metrics else "Not evaluated yet."
    results = f"{verdict}\n\n{results}" if verdict else results
    shown = "\n\n".join(f"![{caption}]({path.name})\n\n{caption}" for caption, path in (pictures or {}).items())
    return f"""# {manifest.name}, version {manifest.version}

{manifest.description}

- Task: {manifest.task}{what}
- Network: {architecture.network}{cell}, {(architecture.attention or "no").replace("_", "-")} attention, \
{architecture.parameters:,} parameters, stored as {manifest.weights}
- Limit: {manifest.limits.max_tokens} tokens per {unit}

## Intended use

{recipe["intended_use"]}

## Limits

{recipe["known_limits"]}

## Results

{results}

{shown}

{section}{chr(10) if section else ""}## Data

{table(["corpus", "origin", "licence"], [[d.name, d.origin, d.licence] for d in manifest.data])}

The training texts are not part of this bundle.

## Training

{training.minutes:.1f} minutes on {training.hardware}, seed {training.seed}; recipe `{manifest.name}` \
(sha256 `{training.recipe_sha256[:12]}`), stored in `bundle.json`.
"""


def with_rows(card: str, others: list[Metric], new: list[Metric]) -> str:
    """The card with the rows of some metrics behind the last row of the others."""
    names = tuple(f"| {metric.name} |" for metric in new)
    kept = [line for line in card.splitlines(keepends=True) if not line.startswith(names)]
    starts = tuple(f"| {metric.name} |" for metric in others)
    last = max((place for place, line in enumerate(kept) if line.startswith(starts)), default=-1)
    rows = [f"| {m.name} | {m.value:.4g} | {m.data} | {m.detail} |\n" for m in new]
    return "".join([*kept[: last + 1], *(rows if last >= 0 else []), *kept[last + 1 :]])
