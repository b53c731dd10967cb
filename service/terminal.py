"""Commands of `python -m service`: list models, classify, translate and generate in the terminal, without a server."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from service import bundle_commands
from service.access import new_key
from service.attention import AttentionMatrix, Floats
from service.batching.scheduler import Limits
from service.bulk.command import bulk
from service.classification.classifier import Prediction
from service.errors import InvalidInput, LimelightError, UnsupportedLanguagePair
from service.handlers import classify as classify_handler
from service.handlers import generate as generate_handler
from service.handlers import translate as translate_handler
from service.handlers.documents import DocumentRequest, Upload, translate_document
from service.handlers.encoding import AS_JSON, dumps
from service.handlers.memories import encode_match
from service.handlers.schemas import ClassifyRequest, GenerateRequest, TranslateRequest
from service.handlers.translation_encoding import encode as encode_translation
from service.registry.glossaries import parse_terms
from service.registry.registry import Registry
from service.settings import Settings
from service.text.sentences import is_blank
from service.text.tokenizer import Token
from service.translation.results import Translation

app = typer.Typer(add_completion=False, help="Without a command: serve models/ over HTTP.")
app.add_typer(bundle_commands.app, name="bundle")
app.command("models")(bundle_commands.list_models)
app.command()(bulk)
out, err = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True, highlight=False)

NO_LIMIT = 10**12
CHUNK = 64
"""Lines per request."""
LIME = (190, 242, 100)
"""The colour of a weight of 1, as red, green and blue."""

Texts = Annotated[list[str] | None, typer.Argument(help="Texts; by default the lines of standard input.")]
File = Annotated[Path | None, typer.Option(help="Read lines from a file instead.", dir_okay=False, exists=True)]
Model = Annotated[str | None, typer.Option(help="Name of the model; by default the default of the service.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document per line, as in the answers of the service.")
]


def answer_lines(
    answer: Callable[[list[str]], list[Any]],
    show: Callable[[Any], None],
    encode: Callable[[Any], dict[str, Any]] | None,
    texts: list[str] | None,
    file: Path | None,
) -> None:
    """Answer texts, or the lines of a file or of standard input. Show each answer, or print it as JSON if `encode` is
    given. A blank line stays blank (null in JSON)."""
    lines = texts or (file.read_text(encoding="utf-8") if file else read_standard_input()).splitlines()
    with progress(shown=not texts) as bar:
        task = bar.add_task("Lines", total=len(lines))
        for start in range(0, len(lines), CHUNK):
            chunk = lines[start : start + CHUNK]
            found = iter(answer([line for line in chunk if not is_blank(line)]))
            for line in chunk:
                answer_of_line = None if is_blank(line) else next(found)
                if encode is not None:
                    print(dumps(None if answer_of_line is None else encode(answer_of_line)).decode())
                elif answer_of_line is None:
                    out.print()
                else:
                    show(answer_of_line)
            bar.advance(task, len(chunk))


def progress(shown: bool) -> Progress:
    """A bar with a count and the time left, on standard error if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))


def read_standard_input() -> str:
    """All of standard input. In a terminal, print how to end it."""
    if sys.stdin.isatty():
        err.print("one text per line; end with Ctrl-D", style="dim")
    return sys.stdin.read()


@contextmanager
def opened() -> Iterator[tuple[Registry, Settings]]:
    """The registry, with nothing loaded, and settings without limits on texts."""
    settings = Settings(max_texts=NO_LIMIT, max_characters=NO_LIMIT)
    runtime = settings.runtime()
    limits = Limits(settings.batch_tokens, NO_LIMIT)
    registry = Registry(settings.models, runtime, limits, settings.default_classifier, settings.glossaries)
    try:
        yield registry, settings
    finally:
        registry.close()


@app.command()
def classify(texts: Texts = None, model: Model = None, file: File = None, as_json: Json = False) -> None:
    """Classify texts, and shade each word by its attention weight."""
    with opened() as (registry, settings):
        name = model or registry.default_classifier()
        registry.load(name)

        def answer(lines: list[str]) -> list[tuple[str, Prediction]]:
            request = ClassifyRequest(text=lines, model=name, attention_unit="word")
            found = asyncio.run(classify_handler.classify(request, registry, settings)).predictions if lines else []
            return list(zip(lines, found, strict=True))

        def encode(answer: tuple[str, Prediction]) -> dict[str, Any]:
            return classify_handler.encode(answer[1])

        answer_lines(answer, show_prediction, encode if as_json else None, texts, file)


def show_prediction(answer: tuple[str, Prediction]) -> None:
    text, prediction = answer
    for label, score in sorted(prediction.scores.items(), key=lambda item: -item[1]):
        out.print(Text(f"{label} {score:.1%}  ", "bold" if label == prediction.label else "dim"), end="")
    out.print()
    weights = [key_weights(matrix) for matrix in prediction.attention[:1]]
    out.print(shaded(text, prediction.tokens, weights[0]) if weights else Text(text))


Document = Annotated[Path | None, typer.Option(help="Translate a document instead.", dir_okay=False, exists=True)]
Output = Annotated[
    Path | None, typer.Option(help="File for the translated document; by default beside it.", dir_okay=False)
]
Glossary = Annotated[
    str | None, typer.Option(help="File of source and target terms (tsv, csv), or name of a stored glossary.")
]


@app.command()
def translate(
    texts: Texts = None,
    to: Annotated[str | None, typer.Option(help="Target language.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Source language, if there are several.")] = None,
    model: Model = None,
    file: File = None,
    document: Document = None,
    output: Output = None,
    glossary: Glossary = None,
    memory: Annotated[str | None, typer.Option(help="TMX file, or name of a stored translation memory.")] = None,
    as_json: Json = False,
    beam_size: Annotated[int, typer.Option(min=1, help="1 is greedy search.")] = 4,
) -> None:
    """Translate texts, and show the source words of each word. With --document: translate a file."""
    with opened() as (registry, settings):
        if memory is not None and Path(memory).is_file():
            memory = registry.memories.load(Path(memory))
        if document is not None:
            if glossary is not None and Path(glossary).is_file():
                raise InvalidInput("with --document, --glossary is the name of a stored glossary")
            source = source or "auto"
            request = DocumentRequest(
                source=source, target=to, model=model, beam_size=beam_size, glossary=glossary, memory=memory
            )
            write_document(document, output, request, registry, settings)
            return
        name = model or default_translator(registry, source, to)
        registry.load(name)
        terms = None if glossary is None else read_glossary(glossary)

        def answer(lines: list[str]) -> list[Translation]:
            request = TranslateRequest(
                q=lines,
                source=source,
                target=to,
                model=name,
                beam_size=beam_size,
                glossary=terms,
                memory=memory,
                attention_unit="word",
            )
            return asyncio.run(translate_handler.translate(request, registry, settings)).translations if lines else []

        def encode(translation: Translation) -> dict[str, Any]:
            match = {} if memory is None else {"match": encode_match(translation.match)}
            return {**encode_translation(translation, alternatives=False), **match}

        answer_lines(answer, show_translation, encode if as_json else None, texts, file)


def read_glossary(glossary: str) -> dict[str, str] | str:
    """The terms of a file, or the name of a stored glossary. Raises InvalidInput."""
    path = Path(glossary)
    if not path.is_file():
        return glossary
    return parse_terms(path.read_text(encoding="utf-8-sig"), "," if path.suffix == ".csv" else "\t")


def write_document(
    path: Path, output: Path | None, request: DocumentRequest, registry: Registry, settings: Settings
) -> None:
    """Translate a document with a progress bar, and write it."""
    load_translators(registry, request)
    settings = settings.model_copy(update={"max_document_bytes": NO_LIMIT, "max_document_characters": NO_LIMIT})
    with progress(shown=True) as bar:
        task = bar.add_task("Texts", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        upload = Upload(path.name, path.read_bytes())
        found = asyncio.run(translate_document(upload, request, registry, settings, show))
    target = output or path.with_name(found.name)
    target.write_bytes(found.content)
    out.print(Text(str(target)))


def load_translators(registry: Registry, request: DocumentRequest) -> None:
    """Load the named model, or all translators that the languages may need. Raises InvalidInput."""
    if request.model is None and request.target is None:
        default_translator(registry, None, None)
    names = [request.model] if request.model else dict.fromkeys(registry.pairs().values())
    for name in names:
        registry.load(name)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue; - reads standard input.")],
    model: Model = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Maximum tokens to generate.")] = 200,
    temperature: Annotated[float, typer.Option(min=0, help="0 always takes the likeliest token.")] = 0.7,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed generates the same text.")] = None,
    as_json: Json = False,
) -> None:
    """Continue a prompt, and shade each token by its improbability."""
    with opened() as (registry, settings):
        name = model or registry.default_generator()
        registry.load(name)
        request = GenerateRequest(
            prompt=read_standard_input() if prompt == "-" else prompt,
            model=name,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            attention="summary" if as_json else "none",
        )
        if as_json:
            found = asyncio.run(generate_handler.generate(request, registry, settings))
            print(dumps(found.encode(AS_JSON)).decode())
            return

        def show(_name: str, event: Any) -> None:
            out.print(shaded_by_surprise(event["text"], event["logprob"]), end="")

        out.print(Text(request.prompt, "dim"), end="")
        found = asyncio.run(generate_handler.generate(request, registry, settings, show))
        out.print()
        err.print(f"seed {found.generation.seed}", style="dim")


def shaded_by_surprise(token: str, log_prob: float | None) -> Text:
    """A token on a lime background that is stronger for less likely tokens."""
    return shaded(token, [Token(token, 0, len(token))], np.array([1 - np.exp(log_prob or 0.0)]))


def default_translator(registry: Registry, source: str | None, target: str | None) -> str:
    """The model for a pair; a language can be None if the other one determines it. Raises InvalidInput."""
    known = registry.pairs()
    pairs = {p: name for p, name in known.items() if source in (None, p[0]) and target in (None, p[1])}
    if len(pairs) == 1:
        return next(iter(pairs.values()))
    listed = ", ".join(" to ".join(pair) for pair in sorted(known)) or "none"
    if source and target:
        try:
            return registry.default_translator(source, target)
        except UnsupportedLanguagePair as error:
            raise UnsupportedLanguagePair(f"{error}; there are: {listed}") from None
    raise InvalidInput(f"choose the languages with --from and --to; there are: {listed}")


def key_weights(matrix: AttentionMatrix) -> Floats:
    """The mean weight of each key over all queries, scaled to a maximum of 1. [Q, K] -> [K]"""
    weights: Floats = matrix.weights.mean(axis=0)
    return weights / max(float(weights.max()), 1e-9)


def shaded(text: str, tokens: list[Token], weights: Floats) -> Text:
    """The text with each token on a lime background that is stronger for higher weights."""
    found = Text(text)
    for token, weight in zip(tokens, weights, strict=True):
        if weight > 0.05:
            background = "#" + "".join(f"{round(255 - (255 - part) * weight):02x}" for part in LIME)
            found.stylize(Style(color="black", bgcolor=background), token.start, token.end)
    return found


def show_translation(translation: Translation) -> None:
    out.print(Text(translation.text, "bold"))
    if (match := translation.match) is not None and not match.is_exact:
        out.print(Text(f"memory {match.score:.0%}: {match.source} = {match.target}", "dim"))
    for sentence in translation.sentences:
        if sentence.attention and sentence.target_tokens:
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
            for token, row in zip(sentence.target_tokens, sentence.attention[0].weights, strict=True):
                table.add_row(Text(token.text), Text(origins(sentence.source_tokens, row), "dim"))
            out.print(table)


def origins(source: list[Token], row: Floats) -> str:
    """The source words with the highest weights for a target word: at most three, each at least 0.1."""
    best = [place for place in np.argsort(-row)[:3] if row[place] >= 0.1]
    return "  ".join(f"{source[place].special or source[place].text} {row[place]:.0%}" for place in best)


@app.command()
def key(name: Annotated[str, typer.Argument(help="Name of the caller.")]) -> None:
    """Make an API key for a caller, and the line for the service."""
    try:
        made, line = new_key(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    err.print("the key, which is not stored:", style="dim")
    out.print(made)
    err.print("for LIMELIGHT_API_KEYS, or the file of LIMELIGHT_API_KEYS_FILE:", style="dim")
    out.print(line)


def main() -> None:
    """Run a command. An error of the service is printed in one line."""
    try:
        app()
    except LimelightError as error:
        err.print(f"error: {error}", style="red")
        raise SystemExit(1) from None
