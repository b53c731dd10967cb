"""`python -m service classify|translate|generate`: a bundle's answers in the terminal, without a server."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console
from rich.progress import track
from rich.style import Style
from rich.table import Table
from rich.text import Text

from service.access import new_key
from service.api import classify as classify_api
from service.api import generate as generate_api
from service.attention import AttentionMatrix, Floats
from service.batching.scheduler import Limits
from service.classification.classifier import Prediction
from service.errors import InvalidInput, LimelightError
from service.generation.generator import SamplingParams, TokenEvent, TokenLogprob
from service.handlers import translate as question_api
from service.handlers.encoding import AS_JSON
from service.markup import protect
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings
from service.text.sentences import is_blank
from service.text.tokenizer import Token
from service.translation.engine import Options
from service.translation.translator import Translation

app = typer.Typer(add_completion=False, help="Without a command: serve models/ over HTTP.")
out, err = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True, highlight=False)

CHUNK = 64
"""Lines that are answered together."""
LIME = (190, 242, 100)

Texts = Annotated[list[str] | None, typer.Argument(help="Texts; without any, the lines of standard input.")]
File = Annotated[Path | None, typer.Option(help="Read the lines of a file instead.", dir_okay=False, exists=True)]
Model = Annotated[str | None, typer.Option(help="Which model; by default the one the service would take.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document a line, as the service answers.")]


def answer_lines(
    answer: Callable[[list[str]], list[Any]],
    show: Callable[[Any], None],
    encode: Callable[[Any], dict[str, Any]] | None,
    texts: list[str] | None,
    file: Path | None,
) -> None:
    """Answer texts, or the lines of a file or of standard input, and show each answer, or print it as JSON if `encode`
    says how; a blank line stays one (null in JSON)."""
    lines = texts or (file.read_text(encoding="utf-8") if file else sys.stdin.read()).splitlines()
    chunks = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    bar = track(chunks, console=err, transient=True, disable=bool(texts) or not err.is_terminal)
    for chunk in bar:
        found = iter(answer([line for line in chunk if not is_blank(line)]))
        for line in chunk:
            answered = None if is_blank(line) else next(found)
            if encode is not None:
                encoded = None if answered is None else encode(answered)
                print(orjson.dumps(encoded, option=orjson.OPT_SERIALIZE_NUMPY).decode())
            elif answered is None:
                out.print()
            else:
                show(answered)


def open_registry() -> Registry:
    settings = Settings()
    runtime = Runtime(settings.device, settings.threads, settings.precision)
    return Registry(settings.models, runtime, Limits(settings.batch_tokens, 10**12), settings.default_classifier)


@app.command()
def classify(texts: Texts = None, model: Model = None, file: File = None, as_json: Json = False) -> None:
    """Classify texts, the words shaded by how much they counted."""
    registry = open_registry()
    name = model or registry.default_classifier()
    registry.load(name)
    classifier = registry.classifier(name)

    def answer(lines: list[str]) -> list[tuple[str, Prediction]]:
        predictions = asyncio.run(classifier.classify(lines)) if lines else []
        return [(line, classify_api.in_words(p, line)) for line, p in zip(lines, predictions, strict=True)]

    def encode(answered: tuple[str, Prediction]) -> dict[str, Any]:
        return classify_api.encode(answered[1])

    def show(answered: tuple[str, Prediction]) -> None:
        text, prediction = answered
        for label, score in sorted(prediction.scores.items(), key=lambda item: -item[1]):
            out.print(Text(f"{label} {score:.1%}  ", "bold" if label == prediction.label else "dim"), end="")
        out.print()
        weights = [looked_at(matrix) for matrix in prediction.attention[:1]]
        out.print(shaded(text, prediction.tokens, weights[0]) if weights else Text(text))

    try:
        answer_lines(answer, show, encode if as_json else None, texts, file)
    finally:
        registry.close()


@app.command()
def translate(
    texts: Texts = None,
    to: Annotated[str | None, typer.Option(help="Language to translate into.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Language of the texts, if there are several.")] = None,
    model: Model = None,
    file: File = None,
    as_json: Json = False,
    beam_size: Annotated[int, typer.Option(min=1, help="1 is greedy search.")] = 4,
) -> None:
    """Translate texts, with the words that each word came from."""
    registry = open_registry()
    name = model or default_translator(registry, source, to)
    registry.load(name)
    translator = registry.translator(source, to, name)
    options = Options(beam_size=beam_size)

    def answer(lines: list[str]) -> list[Translation]:
        found = asyncio.run(protect.translate(translator, lines, "text", options)) if lines else []
        return [question_api.in_words(translation, line) for line, translation in zip(lines, found, strict=True)]

    def encode(translation: Translation) -> dict[str, Any]:
        return question_api.encode(translation, alternatives=False)

    try:
        answer_lines(answer, show_translation, encode if as_json else None, texts, file)
    finally:
        registry.close()


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What the text begins with; - reads standard input.")],
    model: Model = None,
    max_tokens: Annotated[int, typer.Option(min=0, help="Most tokens to write.")] = 200,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token always.")] = 0.7,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed writes the same text.")] = None,
    as_json: Json = False,
) -> None:
    """Write a text on, each token shaded by how unlikely it was."""
    registry = open_registry()
    name = model or registry.default_generator()
    registry.load(name)
    generator = registry.generator(name)
    beginning = sys.stdin.read() if prompt == "-" else prompt
    manner = SamplingParams(max_tokens, temperature, seed=seed, attention="summary" if as_json else "none")

    def heard(spoken: TokenEvent) -> None:
        out.print(surprising(spoken.token), end="")

    try:
        if as_json:
            found = asyncio.run(generator.generate(beginning, manner))
            content = generate_api.encode(generator, found, AS_JSON)
            print(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        else:
            out.print(Text(beginning, "dim"), end="")
            found = asyncio.run(generator.generate(beginning, manner, heard=heard))
            out.print()
            err.print(f"seed {found.seed}", style="dim")
    finally:
        registry.close()


def surprising(token: TokenLogprob) -> Text:
    """A token on a ground of lime that is the stronger the less likely it was."""
    return shaded(token.text, [Token(token.text, 0, len(token.text))], np.array([1 - np.exp(token.log_prob or 0.0)]))


def default_translator(registry: Registry, source: str | None, target: str | None) -> str:
    """The model for a pair, of which one side may be left out where there is no choice. Raises InvalidInput."""
    pairs = {p: name for p, name in registry.pairs().items() if source in (None, p[0]) and target in (None, p[1])}
    if len(pairs) == 1:
        return next(iter(pairs.values()))
    if source and target:
        return registry.default_translator(source, target)
    known = ", ".join(" to ".join(pair) for pair in sorted(registry.pairs()))
    raise InvalidInput(f"say which languages, with --from and --to; there are: {known}")


def looked_at(matrix: AttentionMatrix) -> Floats:
    """How much all queries together look at each key, the most at 1."""
    weights: Floats = matrix.weights.mean(axis=0)
    return weights / max(float(weights.max()), 1e-9)


def shaded(text: str, tokens: list[Token], weights: Floats) -> Text:
    """The text as it is, each token on a ground of lime that is the stronger the more it was looked at."""
    found = Text(text)
    for token, weight in zip(tokens, weights, strict=True):
        if weight > 0.05:
            ground = "#" + "".join(f"{round(255 - (255 - part) * weight):02x}" for part in LIME)
            found.stylize(Style(color="black", bgcolor=ground), token.start, token.end)
    return found


def show_translation(translation: Translation) -> None:
    out.print(Text(translation.text, "bold"))
    for sentence in translation.sentences:
        if sentence.attention and sentence.target_tokens:
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
            for token, row in zip(sentence.target_tokens, sentence.attention[0].weights, strict=True):
                table.add_row(Text(token.text), Text(origins(sentence.source_tokens, row), "dim"))
            out.print(table)


def origins(source: list[Token], row: Floats) -> str:
    """The source words behind one target word, the most looked at first: those above a tenth, three at most."""
    best = [place for place in np.argsort(-row)[:3] if row[place] >= 0.1]
    return "  ".join(f"{source[place].special or source[place].text} {row[place]:.0%}" for place in best)


@app.command()
def key(name: Annotated[str, typer.Argument(help="Whose key it is.")]) -> None:
    """Make an API key: the caller gets the key, the service its line."""
    try:
        made, line = new_key(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    err.print("the key, which is kept nowhere:", style="dim")
    out.print(made)
    err.print("for LIMELIGHT_API_KEYS, or the file of LIMELIGHT_API_KEYS_FILE:", style="dim")
    out.print(line)


def main() -> None:
    """Run a command; an error that the user can mend is one line."""
    try:
        app()
    except LimelightError as error:
        err.print(f"error: {error}", style="red")
        raise SystemExit(1) from None
