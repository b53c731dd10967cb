"""Commands of `python -m service models` and `bundle`: list, check and renumber the bundles of the folder of models."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from service.batching.scheduler import Limits
from service.bundle.files import find_bundles, misnamed_bundles, read_manifest
from service.bundle.manifest import MANIFEST, AnyManifest, Metric
from service.bundle.renumber import renumber
from service.errors import BundleError, BundleNotFound, InvalidInput
from service.handlers.encoding import dumps
from service.registry.loading import load, read_named_manifest
from service.settings import Settings

app = typer.Typer(help="List, check and renumber the bundles of the folder of models.")
out = Console(soft_wrap=True, highlight=False)

NO_LIMIT = 10**12
HEADINGS = ["model", "task", "languages or labels", "main metric", "size"]
Models = Annotated[Path | None, typer.Option(help="Folder of the bundles; by default LIMELIGHT_MODELS.", exists=True)]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document per line, as in the answers of the service.")
]


@app.command("list")
def list_bundles(models: Models = None, as_json: Json = False) -> None:
    """List the bundles of the folder of models."""
    for folder in folders_of(models):
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        row: dict[str, Any] = {"name": folder.parent.name, "version": folder.name, "bytes": size, "problem": None}
        try:
            manifest = read_named_manifest(folder)
            precisions = sorted({graph.precision for graph in manifest.graphs})
            row |= {"task": manifest.task, "network": manifest.architecture.network, "precisions": precisions}
        except BundleError as error:
            row["problem"] = str(error)
        if as_json:
            print(dumps(row).decode())
        else:
            details = row["problem"] or f"{row['task']:<15} {row['network']:<12} {' '.join(row['precisions'])}"
            out.print(Text(f"{row['name']:<22} {row['version']:>5} {size / 1e6:>7.1f} MB  {details}"))


def list_models(models: Models = None, as_json: Json = False) -> None:
    """List the models with task, languages or labels, main metric and size."""
    rows = [model_row(folder) for folder in folders_of(models)]
    if as_json:
        for row in rows:
            print(dumps(row).decode())
        return
    table = [HEADINGS, *map(row_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, cells in enumerate(table):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        out.print(Text(line.rstrip(), "" if number else "bold"))


def model_row(folder: Path) -> dict[str, Any]:
    """The description of a bundle; only with a problem if its manifest cannot be read."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    row: dict[str, Any] = {"name": folder.parent.name, "version": folder.name, "bytes": size}
    try:
        manifest = read_named_manifest(folder)
    except BundleError as error:
        return row | {"problem": str(error)}
    metric = main_metric(manifest)
    return row | {
        "task": manifest.task,
        "source": getattr(manifest, "source", None),
        "target": getattr(manifest, "target", None),
        "labels": getattr(manifest, "labels", None),
        "metric": None if metric is None else metric.model_dump(include={"name", "value", "data"}),
        "problem": None,
    }


def row_cells(row: dict[str, Any]) -> list[str]:
    """A row of the list of models as text."""
    name, size = f"{row['name']}/{row['version']}", f"{row['bytes'] / 1e6:.1f} MB"
    if row["problem"]:
        return [name, "refused", "", row["problem"], size]
    about = f"{row['source']} -> {row['target']}" if row["source"] else ", ".join(row["labels"] or ())
    metric = row["metric"]
    measured = f"{metric['name']} {metric['value']:g} ({metric['data'].split(' (')[0]})" if metric else ""
    return [name, row["task"], about, measured, size]


def main_metric(manifest: AnyManifest) -> Metric | None:
    """The metric that describes a model best: accuracy, BLEU, or else the first one."""
    main = (metric for name in ("accuracy", "BLEU") for metric in manifest.metrics if metric.name == name)
    return next(main, next(iter(manifest.metrics), None))


@app.command()
def verify(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="`name`, `name/version` or folders; by default all.")
    ] = None,
    models: Models = None,
) -> None:
    """Check bundles as the service does: files, graphs and golden inputs. The exit code is 1 if one is refused."""
    settings = Settings()
    runtime = settings.runtime()
    refused = False
    for folder in [folder for each in bundles or [""] for folder in folders_of(models, each)]:
        label = f"{folder.parent.name}/{folder.name}"
        try:
            # A folder elsewhere may have any name, for example before it is moved to the folder of models.
            is_elsewhere = folder.parent.parent != (models or settings.models)
            manifest = read_manifest(folder) if is_elsewhere else read_named_manifest(folder)
            predictor, _ = load(folder, manifest, runtime, Limits(settings.batch_tokens, NO_LIMIT))
        except BundleError as error:
            out.print(Text(f"{label} is refused: {error}", "red"))
            refused = True
        else:
            predictor.close()
            out.print(Text(f"{label} is valid"))
    if refused:
        raise typer.Exit(1)


@app.command("renumber")
def renumber_bundle(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    old: Annotated[int, typer.Argument(help="Its version.", min=1)],
    new: Annotated[int, typer.Argument(help="Its new version, which must not exist.", min=1)],
    keep: Annotated[bool, typer.Option("--keep", help="Keep the old version too.")] = False,
    models: Models = None,
) -> None:
    """Change the version of a bundle. Send SIGHUP to the service to serve it."""
    try:
        target = renumber(models or Settings().models, name, old, new, keep)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    out.print(Text(f"{name}/{old} is now {target}"))


def folders_of(models: Path | None, bundle: str = "") -> list[Path]:
    """Return the folders of a model, of one version, or of all models, or the folder with this path.

    Raises BundleNotFound.
    """
    if "/" in bundle and Path(bundle, MANIFEST).exists():
        return [Path(bundle)]
    root = models or Settings().models
    found = [
        folder
        for name, versions in find_bundles(root).items()
        for version, folder in sorted(versions.items())
        if bundle in ("", name, f"{name}/{version}")
    ]
    if not bundle:
        found += misnamed_bundles(root)
    if not found:
        raise BundleNotFound(f"there is no bundle {f'{bundle!r} ' if bundle else ''}in {root}")
    return found
