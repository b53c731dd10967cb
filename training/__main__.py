"""`python -m training fit|export|evaluate RECIPE`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.bundle import Manifest
from service.errors import LimelightError
from training import evaluate as evaluation
from training import export as exporting
from training.corpora import CorpusError
from training.fit import AnyRecipe, RunError
from training.fit import fit as fit_recipe
from training.recipe import RecipeError, load_recipe

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Recipes in, ONNX bundles out.")
console = Console()

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name in training/recipes, or a .toml file.")]
Data = Annotated[Path | None, typer.Option(help="Your own TSV: label<TAB>text, or source<TAB>target.")]
Models = Annotated[Path, typer.Option(envvar="LIMELIGHT_MODELS", help="Where bundles are written.")]


@app.command()
def fit(
    recipe: RecipeName,
    data: Data = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the recipe says.")] = None,
) -> None:
    """Train a recipe's network; interrupted, it goes on from its last epoch."""
    folder = fit_recipe(load_recipe(recipe, data), epochs)
    console.print(f"trained into {folder}")


@app.command()
def export(recipe: RecipeName, data: Data = None, models: Models = Path("models")) -> None:
    """Write the trained network as a bundle, compared with PyTorch first."""
    folder = exporting.export(load_recipe(recipe, data), models)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.print(f"wrote {folder} ({size:.1f} MB); every output equals PyTorch's to {exporting.TOLERANCE:g}")


@app.command()
def evaluate(
    recipe: RecipeName,
    data: Data = None,
    models: Models = Path("models"),
    valid: Annotated[bool, typer.Option(help="Measure on the validation split, and write nothing.")] = False,
) -> None:
    """Measure a bundle as it is served, and write the figures into its manifest and card."""
    loaded: AnyRecipe = load_recipe(recipe, data)
    show(evaluation.evaluate(loaded, models, "valid" if valid else "test"))


def show(manifest: Manifest) -> None:
    table = Table("metric", "value", "data", "how", title=f"{manifest.name}/{manifest.version}")
    for metric in manifest.metrics:
        table.add_row(metric.name, f"{metric.value:.4g}", metric.data, metric.detail)
    console.print(table)


def main() -> None:
    """Errors that the user can mend are one message, not a traceback."""
    try:
        app()
    except (RecipeError, CorpusError, RunError, exporting.ParityError, LimelightError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
