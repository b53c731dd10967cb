"""The command line: `python -m training COMMAND`.

Commands: train, fit, export, evaluate, calibrate, faithfulness, pack, unpack, compare, align, lengths, ngrams.
"""

import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.bundle.files import read_manifest
from service.bundle.manifest import CARD, Manifest, TranslationManifest
from service.errors import LimelightError
from training import evaluate as evaluation
from training.alignment import report
from training.calibration import calibrate as calibrate_bundle
from training.compare import HEADER, compare_lengths, parse_vary
from training.compare import compare as compare_recipes
from training.corpora import CorpusError, label_counts
from training.distributed import rank
from training.export.bundle import export as export_bundle
from training.faithfulness import measure as measure_faithfulness
from training.fit import fit as fit_recipe
from training.graphs.parity import TOLERANCE, ParityError
from training.ngrams import compare_ngrams
from training.opening import AUTO, Changes, open_recipe
from training.pack import pack as pack_recipe
from training.pack import unpack as unpack_result
from training.progress import console, quiet, stage
from training.recipe import (
    AnyRecipe,
    ClassificationRecipe,
    GenerationRecipe,
    RecipeError,
)
from training.run import RunError
from training.start import StartError
from training.word_calibration import calibrate_words

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train recipes and export them as ONNX bundles.")

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name in training/recipes, or a .toml file.")]
OwnRecipe = Annotated[
    str,
    typer.Argument(metavar="[RECIPE]", help="A name in training/recipes, or a .toml file; by default one for DATA."),
]
Data = Annotated[Path | None, typer.Option(help="Your own table (TSV, CSV, JSON Lines, Parquet...) or text.")]
Columns = Annotated[str | None, typer.Option(help="Names or numbers of its two columns: label,text or source,target.")]
SkipBadRows = Annotated[bool, typer.Option("--skip-bad-rows", help="Skip rows that cannot be read.")]
Name = Annotated[str | None, typer.Option(help="Name of the model, instead of that of the file.")]
Version = Annotated[int | None, typer.Option(min=1, help="Version of the bundle, instead of the next one.")]
Models = Annotated[Path, typer.Option(envvar="LIMELIGHT_MODELS", help="Folder of the bundles.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Number of epochs, instead of the recipe's.")]
Minutes = Annotated[float | None, typer.Option(min=0.1, help="Minutes in all, after which the learning rate is zero.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete the run and train again.")]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite a bundle of another run.")]


@app.command()
def train(
    recipe: OwnRecipe = AUTO,
    data: Data = None,
    columns: Columns = None,
    skip_bad_rows: SkipBadRows = False,
    name: Name = None,
    version: Version = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    fresh: Fresh = False,
    replace: Replace = False,
    models: Models = Path("models"),
) -> None:
    """Fit, export and evaluate: from your data to a bundle in one command."""
    loaded = opened(recipe, Changes(data, columns, skip_bad_rows, name, version))
    fit_recipe(loaded, epochs, minutes, fresh)
    if rank() > 0:
        return
    with stage("export"):
        folder = export_bundle(loaded, models, replace)
    with stage("evaluate"):
        manifest, verdict = evaluation.evaluate(loaded, models)
    show(manifest, verdict)
    console.print(f"wrote {folder}; its card is {folder / CARD}")
    console.print("next: make serve, or for a running service: curl -X POST localhost:8000/admin/reload")


@app.command()
def fit(
    recipe: OwnRecipe = AUTO,
    data: Data = None,
    columns: Columns = None,
    skip_bad_rows: SkipBadRows = False,
    name: Name = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    fresh: Fresh = False,
) -> None:
    """Train the network of a recipe. An interrupted run resumes after its last epoch; a finished one is kept."""
    folder = fit_recipe(opened(recipe, Changes(data, columns, skip_bad_rows, name)), epochs, minutes, fresh)
    console.print(f"run folder: {folder}")


@app.command()
def pack(recipe: RecipeName, into: Annotated[Path, typer.Option(help="Folder of the archive.")] = Path(".")) -> None:
    """Write one archive of data, recipe and code, to train on another machine."""
    path = pack_recipe(open_recipe(recipe), into)
    console.print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); unpack it there and run its train.py")


@app.command()
def unpack(recipe: RecipeName, archive: Annotated[Path, typer.Argument(help="result.tar.gz of train.py.")]) -> None:
    """Take back the result of a packed training, ready for export."""
    console.print(f"run folder: {unpack_result(open_recipe(recipe), archive)}")


@app.command()
def export(
    recipe: OwnRecipe = AUTO,
    data: Data = None,
    columns: Columns = None,
    skip_bad_rows: SkipBadRows = False,
    name: Name = None,
    version: Version = None,
    replace: Replace = False,
    models: Models = Path("models"),
) -> None:
    """Export the trained network as a bundle, after a comparison with PyTorch."""
    loaded = open_recipe(recipe, Changes(data, columns, skip_bad_rows, name, version))
    folder = export_bundle(loaded, models, replace)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.print(f"wrote {folder} ({size:.1f} MB); its outputs equal those of PyTorch within {TOLERANCE:g}")


@app.command()
def evaluate(
    recipe: OwnRecipe = AUTO,
    data: Data = None,
    columns: Columns = None,
    skip_bad_rows: SkipBadRows = False,
    name: Name = None,
    version: Version = None,
    models: Models = Path("models"),
    valid: Annotated[bool, typer.Option(help="Use the validation split, and do not write the metrics.")] = False,
) -> None:
    """Evaluate a bundle with the service's code, and write the metrics to its manifest and card."""
    loaded = open_recipe(recipe, Changes(data, columns, skip_bad_rows, name, version))
    show(*evaluation.evaluate(loaded, models, "valid" if valid else "test"))


@app.command()
def calibrate(recipe: RecipeName, data: Data = None, columns: Columns = None, models: Models = Path("models")) -> None:
    """Fit the temperature of a classifier, or the confidence of a translator's words, on the validation split."""
    loaded = open_recipe(recipe, Changes(data, columns), start=False)
    if isinstance(loaded, GenerationRecipe):
        raise RecipeError(f"{recipe} is a language model, which is not calibrated")
    if isinstance(loaded, ClassificationRecipe):
        show(calibrate_bundle(loaded, models), "")
    else:
        show(calibrate_words(loaded, models), "")


@app.command()
def faithfulness(
    recipe: RecipeName,
    data: Data = None,
    columns: Columns = None,
    models: Models = Path("models"),
    texts: Annotated[int, typer.Option(min=2, help="Maximum number of test texts.")] = 500,
    occlusion: Annotated[bool, typer.Option(help="Measure occlusion too, which takes longer.")] = True,
    random_orders: Annotated[int, typer.Option(min=1, help="Random orders of each text.")] = 10,
) -> None:
    """Measure how much the attention of a classifier explains, and write it to the card."""
    loaded = open_recipe(recipe, Changes(data, columns), start=False)
    if not isinstance(loaded, ClassificationRecipe):
        raise RecipeError(f"{recipe} is not a classifier, and only classifiers are measured")
    section, card = measure_faithfulness(loaded, models, texts, occlusion, random_orders)
    console.print(section)
    console.print(f"wrote {card}")


@app.command()
def compare(
    recipe: RecipeName,
    vary: Annotated[
        list[str],
        typer.Option(help="Values of a key of [network], such as attention=dot,general. Repeat for more keys."),
    ],
    data: Data = None,
    columns: Columns = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Number of training rows to use.")] = None,
    epochs: Epochs = None,
    into: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("docs/compare"),
) -> None:
    """Train every combination of network options, and write a table and a plot."""
    loaded = open_recipe(recipe, Changes(data, columns), start=False)
    if not isinstance(loaded, ClassificationRecipe):
        raise RecipeError(f"{recipe} is not a classifier, and compare supports only classifiers")
    if rows is not None:
        loaded = loaded.model_copy(update={"data": loaded.data.model_copy(update={"rows": rows})})
    grid = parse_vary(vary)
    table = Table(*grid, *HEADER, title=f"{loaded.name}, validation split")
    for row in compare_recipes(loaded, grid, epochs, into):
        table.add_row(*row.cells())
    console.print(table)


@app.command()
def align(bundles: Annotated[list[Path], typer.Argument(help="Folders of translators: models/en-fr/2.")]) -> None:
    """Print error rate, precision and recall of the alignment by every layer and head, against manual alignments."""
    for bundle in bundles:
        for file, rows in report(bundle, read_manifest(bundle, TranslationManifest)):
            table = Table("attention", "error rate", "precision", "recall", title=f"{bundle}, {file}")
            for row in rows:
                table.add_row(*row)
            console.print(table)


@app.command()
def lengths(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of evaluated translators: models/en-fr/1.")],
    into: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("docs/compare"),
) -> None:
    """Compare translators by source length, and write a table and a plot."""
    header, *rows = compare_lengths(bundles, into)
    table = Table(*header, title="BLEU by source length")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@app.command()
def ngrams(
    recipe: RecipeName,
    bundles: Annotated[list[Path], typer.Argument(help="Folders of evaluated language models: models/nietzsche/1.")],
    data: Data = None,
    into: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("docs/compare"),
) -> None:
    """Compare language models with n-grams of the same text, and write a table and a plot."""
    loaded = open_recipe(recipe, Changes(data))
    if not isinstance(loaded, GenerationRecipe):
        raise RecipeError(f"{recipe} is not a language model, and ngrams needs running text")
    header, *rows = compare_ngrams(loaded, bundles, into)
    table = Table(*header, title="bits per character of n-grams")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def opened(recipe: str, changes: Changes) -> AnyRecipe:
    """Open a recipe for training, and print its data and its start."""
    loaded = open_recipe(recipe, changes)
    if isinstance(loaded, ClassificationRecipe):
        counts = label_counts(loaded.data)
        console.print("training texts: " + ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    if loaded.warm_start is not None:
        console.print(f"starts from the bundle {loaded.warm_start}")
        if loaded.task != "generation" and loaded.data.replay is not None:
            console.print(f"with old data of {', '.join(dict.fromkeys(loaded.data.replay.corpora))}")
    return loaded


def show(manifest: Manifest, verdict: str) -> None:
    """Print the metrics and the verdict."""
    table = Table("metric", "value", "data", "method", title=f"{manifest.name}/{manifest.version}")
    for metric in manifest.metrics:
        table.add_row(metric.name, f"{metric.value:.4g}", metric.data, metric.detail)
    console.print(table)
    if verdict:
        console.print(verdict)


def main() -> None:
    """Run the command line. Errors that the user can correct are printed without a traceback."""
    quiet()
    warnings.showwarning = lambda message, *_: console.print(f"warning: {message}")
    try:
        app()
    except (RecipeError, CorpusError, RunError, StartError, ParityError, LimelightError) as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
