"""The command `python -m service bulk`."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from service.bulk.inputs import Source
from service.bulk.job import BLOCK_ROWS, Job, run
from service.bulk.progress import Progress
from service.bulk.ray_data import run_on_ray
from service.bulk.tasks import TaskName
from service.errors import InvalidInput
from service.settings import Settings

err = Console(stderr=True, soft_wrap=True, highlight=False)


def bulk(
    source: Annotated[
        Path, typer.Argument(help="File of rows: .txt, .tsv, .jsonl or .parquet, each also with .gz.", exists=True)
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the answers. The same command resumes a killed job.")],
    task: Annotated[TaskName, typer.Option(help="Route whose handler answers the rows.")],
    model: Annotated[str | None, typer.Option(help="Name of the model; by default as in the service.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Source language of translations.")] = None,
    to: Annotated[str | None, typer.Option(help="Target language of translations.")] = None,
    column: Annotated[
        str, typer.Option(help="Column of the texts; its number from 1 in a tsv file without a header.")
    ] = "text",
    keep: Annotated[
        list[str] | None, typer.Option(help="Column to copy to the output; several times for more.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Field of the request as NAME=VALUE, such as beam_size=1.")
    ] = None,
    block_rows: Annotated[int, typer.Option(min=1, help="Rows that are answered and written together.")] = BLOCK_ROWS,
    ray: Annotated[bool, typer.Option("--ray", help="Use the machines of a Ray cluster (extra `ray`).")] = False,
) -> None:
    """Answer every row of a file with all cores. After a kill, the same command continues."""
    options = {"model": model, **dict(map(parse_option, option or []))}
    if task == "translate":
        options |= {"source": from_, "target": to}
    elif from_ or to:
        raise InvalidInput("--from and --to are for translations")
    job = Job(Source(source, column, tuple(keep or ())), output, task, options, block_rows)
    try:
        summary = (run_on_ray if ray else run)(job, Settings(), Progress())
    except KeyboardInterrupt:
        err.print("interrupted; the same command continues")
        raise typer.Exit(130) from None
    err.print(f"{summary['rows']:,} rows, {summary['bad_rows']:,} of them bad: {output}")


def parse_option(option: str) -> tuple[str, Any]:
    """`name=value` -> name and value, which is JSON or a string. Raises InvalidInput."""
    name, equals, value = option.partition("=")
    if not equals:
        raise InvalidInput(f"an option is NAME=VALUE, not {option!r}")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value
