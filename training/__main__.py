"""`python -m training fit|export|evaluate|compare RECIPE`, `lengths BUNDLE ...` and `ngrams RECIPE BUNDLE ...`."""

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
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, RecipeError, load_recipe
from training.start import StartError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Recipes in, ONNX bundles out.")
console = Console()

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name in training/recipes, or a .toml file.")]
Data = Annotated[Path | None, typer.Option(help="Your own TSV: label<TAB>text, or source<TAB>target.")]
Columns = Annotated[str | None, typer.Option(help="What its header calls them: sentiment,review (say).")]
Models = Annotated[Path, typer.Option(envvar="LIMELIGHT_MODELS", help="Where bundles are written.")]


def load(name: str, data: Path | None, columns: str | None) -> AnyRecipe:
    recipe = load_recipe(name)
    return recipe if data is None else own_data(recipe, data, columns)


@app.command()
def fit(
    recipe: RecipeName,
    data: Data = None,
    columns: Columns = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the recipe says.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="End after so many, with the rate at zero.")] = None,
) -> None:
    """Train a recipe's network; interrupted, it goes on from its last epoch."""
    loaded = load(recipe, data, columns)
    if isinstance(loaded, ClassificationRecipe):
        show_balance(loaded)
    folder = fit_recipe(loaded, epochs, minutes)
    console.print(f"trained into {folder}")


@app.command()
def export(recipe: RecipeName, data: Data = None, columns: Columns = None, models: Models = Path("models")) -> None:
    """Write the trained network as a bundle, compared with PyTorch first."""
    folder = export_bundle(load(recipe, data, columns), models)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.print(f"wrote {folder} ({size:.1f} MB); every output equals PyTorch's to {TOLERANCE:g}")


@app.command()
def evaluate(
    recipe: RecipeName,
    data: Data = None,
    columns: Columns = None,
    models: Models = Path("models"),
    valid: Annotated[bool, typer.Option(help="Measure on the validation split, and write nothing.")] = False,
) -> None:
    """Measure a bundle as it is served, and write the figures into its manifest and card."""
    loaded: AnyRecipe = load(recipe, data, columns)
    show(evaluation.evaluate(loaded, models, "valid" if valid else "test"))


@app.command()
def compare(
    recipe: RecipeName,
    vary: Annotated[list[str], typer.Option(help="attention=dot,general (say); again for each key to vary.")],
    data: Data = None,
    columns: Columns = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Train on so many rows only.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the recipe says.")] = None,
    into: Annotated[Path, typer.Option(help="Where the table and the plot are written.")] = Path("docs/compare"),
) -> None:
    """Train every combination of some networks' choices, and write one table and one plot."""
    loaded = load(recipe, data, columns)
    if not isinstance(loaded, ClassificationRecipe):
        raise RecipeError(f"{recipe} is no classifier: only classifiers can be compared")
    if rows is not None:
        loaded = loaded.model_copy(update={"data": loaded.data.model_copy(update={"rows": rows})})
    grid = parse_vary(vary)
    table = Table(*grid, *HEADER, title=f"{loaded.name}, validation split")
    for row in compare_recipes(loaded, grid, epochs, into):
        table.add_row(*row.cells())
    console.print(table)


@app.command()
def lengths(
    bundles: Annotated[list[Path], typer.Argument(help="Folders of evaluated translators: models/en-fr/1 (say).")],
    into: Annotated[Path, typer.Option(help="Where the table and the plot are written.")] = Path("docs/compare"),
) -> None:
    """Compare translators on short and on long sentences: one table and one plot."""
    header, *rows = compare_lengths(bundles, into)
    table = Table(*header, title="BLEU by the length of the source")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@app.command()
def ngrams(
    recipe: RecipeName,
    bundles: Annotated[list[Path], typer.Argument(help="Folders of evaluated language models: models/nietzsche/1.")],
    data: Data = None,
    into: Annotated[Path, typer.Option(help="Where the table and the plot are written.")] = Path("docs/compare"),
) -> None:
    """Compare language models with n-grams of the same text: one table and one plot."""
    loaded = load(recipe, data, None)
    if not isinstance(loaded, GenerationRecipe):
        raise RecipeError(f"{recipe} is no language model: only of running text are there n-grams")
    header, *rows = compare_ngrams(loaded, bundles, into)
    table = Table(*header, title="bits per character of n-grams")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_balance(recipe: ClassificationRecipe) -> None:
    """How many training texts each label has, and what to do if they are very unlike."""
    counts = label_counts(recipe.data)
    console.print("training texts: " + ", ".join(f"{label} {count:,}" for label, count in counts.items()))
    (most, highest), (least, lowest) = max(counts.items(), key=itemgetter(1)), min(counts.items(), key=itemgetter(1))
    if highest > 3 * lowest and not recipe.optimisation.balance:
        console.print(
            f"{most} has {highest / lowest:.1f} times the texts of {least}: read the balanced accuracy, not the "
            "accuracy; `balance = true` under [optimisation] of a recipe of your own weighs the labels alike",
            soft_wrap=True,
        )


def show(manifest: Manifest) -> None:
    table = Table("metric", "value", "data", "how", title=f"{manifest.name}/{manifest.version}")
    for metric in manifest.metrics:
        table.add_row(metric.name, f"{metric.value:.4g}", metric.data, metric.detail)
    console.print(table)


def main() -> None:
    """Errors that the user can mend are one message, not a traceback."""
    try:
        app()
    except (RecipeError, CorpusError, RunError, StartError, ParityError, LimelightError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
