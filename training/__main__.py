"""The command line: `python -m training fit|pack|unpack|export|shortlist|evaluate|compare|lengths|ngrams`."""

from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.bundle.manifest import Manifest
from service.errors import LimelightError
from training import evaluate as evaluation
from training.compare import HEADER, compare_lengths, parse_vary
from training.compare import compare as compare_recipes
from training.corpora import CorpusError, label_counts, own_data
from training.export.bundle import export as export_bundle
from training.fit import RunError
from training.fit import fit as fit_recipe
from training.graphs.parity import TOLERANCE, ParityError
from training.ngrams import compare_ngrams
from training.pack import pack as pack_recipe
from training.pack import unpack as unpack_result
from training.recipe import (
    AnyRecipe,
    ClassificationRecipe,
    GenerationRecipe,
    RecipeError,
    TranslationRecipe,
    load_recipe,
)
from training.shortlist import ShortlistError, add_shortlist, training_pairs
from training.start import StartError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train recipes and export them as ONNX bundles.")
console = Console()

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name in training/recipes, or a .toml file.")]
Data = Annotated[Path | None, typer.Option(help="Your own TSV: label<TAB>text, or source<TAB>target.")]
Columns = Annotated[str | None, typer.Option(help="Names of the two columns in its header, such as sentiment,review.")]
Models = Annotated[Path, typer.Option(envvar="LIMELIGHT_MODELS", help="Folder of the bundles.")]


def load(name: str, data: Path | None, columns: str | None) -> AnyRecipe:
    """Load a recipe, with its corpora replaced by `data` if given."""
    recipe = load_recipe(name)
    return recipe if data is None else own_data(recipe, data, columns)


@app.command()
def fit(
    recipe: RecipeName,
    data: Data = None,
    columns: Columns = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs, instead of the recipe's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Minutes in all, after which the learning rate is zero.")
    ] = None,
) -> None:
    """Train the network of a recipe. An interrupted run resumes after its last epoch."""
    loaded = load(recipe, data, columns)
    if isinstance(loaded, ClassificationRecipe):
        show_balance(loaded)
    folder = fit_recipe(loaded, epochs, minutes)
    console.print(f"run folder: {folder}")


@app.command()
def pack(recipe: RecipeName, into: Annotated[Path, typer.Option(help="Folder of the archive.")] = Path(".")) -> None:
    """Write one archive of data, recipe and code, to train on another machine."""
    path = pack_recipe(load_recipe(recipe), into)
    console.print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB); unpack it there and run its train.py")


@app.command()
def unpack(recipe: RecipeName, archive: Annotated[Path, typer.Argument(help="result.tar.gz of train.py.")]) -> None:
    """Take back the result of a packed training, ready for export."""
    console.print(f"run folder: {unpack_result(load_recipe(recipe), archive)}")


@app.command()
def export(recipe: RecipeName, data: Data = None, columns: Columns = None, models: Models = Path("models")) -> None:
    """Export the trained network as a bundle, after a comparison with PyTorch."""
    folder = export_bundle(load(recipe, data, columns), models)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.print(f"wrote {folder} ({size:.1f} MB); its outputs equal those of PyTorch within {TOLERANCE:g}")


@app.command()
def shortlist(recipe: RecipeName, data: Data = None, columns: Columns = None, models: Models = Path("models")) -> None:
    """Restrict the int8 output layer of an exported translator to likely words, which makes it faster."""
    loaded = load(recipe, data, columns)
    if not isinstance(loaded, TranslationRecipe):
        raise RecipeError(f"{recipe} is not a translator, and only translators have a shortlist")
    folder = models / loaded.name / str(loaded.version)
    add_shortlist(folder, training_pairs(loaded), evaluation.check_golden)
    console.print(f"{folder} has a shortlist; evaluate it again")


@app.command()
def evaluate(
    recipe: RecipeName,
    data: Data = None,
    columns: Columns = None,
    models: Models = Path("models"),
    valid: Annotated[bool, typer.Option(help="Use the validation split, and do not write the metrics.")] = False,
) -> None:
    """Evaluate a bundle with the service's code, and write the metrics to its manifest and card."""
    loaded: AnyRecipe = load(recipe, data, columns)
    show(evaluation.evaluate(loaded, models, "valid" if valid else "test"))


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
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs, instead of the recipe's.")] = None,
    into: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("docs/compare"),
) -> None:
    """Train every combination of network options, and write a table and a plot."""
    loaded = load(recipe, data, columns)
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
    loaded = load(recipe, data, None)
    if not isinstance(loaded, GenerationRecipe):
        raise RecipeError(f"{recipe} is not a language model, and ngrams needs running text")
    header, *rows = compare_ngrams(loaded, bundles, into)
    table = Table(*header, title="bits per character of n-grams")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_balance(recipe: ClassificationRecipe) -> None:
    """Print the number of training texts per label, and advice if the labels are unbalanced."""
    counts = label_counts(recipe.data)
    console.print("training texts: " + ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    (most, highest), (least, lowest) = max(counts.items(), key=itemgetter(1)), min(counts.items(), key=itemgetter(1))
    if highest > 3 * lowest and not recipe.optimisation.balance:
        console.print(
            f"{most} has {highest / lowest:.1f} times as many texts as {least}. Compare balanced accuracy instead of "
            "accuracy. `balance = true` under [optimisation] of your own recipe gives all labels the same weight.",
            soft_wrap=True,
        )


def show(manifest: Manifest) -> None:
    """Print the metrics."""
    table = Table("metric", "value", "data", "method", title=f"{manifest.name}/{manifest.version}")
    for metric in manifest.metrics:
        table.add_row(metric.name, f"{metric.value:.4g}", metric.data, metric.detail)
    console.print(table)


def main() -> None:
    """Run the command line. Errors that the user can correct are printed without a traceback."""
    try:
        app()
    except (RecipeError, CorpusError, RunError, StartError, ParityError, ShortlistError, LimelightError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
