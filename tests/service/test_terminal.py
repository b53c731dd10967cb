"""The commands: output for people and for pipes, and one line per error."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from service import terminal
from service.access import Access, parse_keys
from service.bundle.manifest import GOLDEN
from service.errors import InvalidInput
from service.text.tokenizer import Token
from tests.fakes import TEXTS, doubled, rewrite, write_classifier, write_translator


@pytest.fixture(autouse=True)
def folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv("LIMELIGHT_THREADS", "1")


def run(*arguments: str, stdin: str = "") -> Result:
    result = CliRunner().invoke(terminal.app, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_classify_shows_the_labels_and_the_text() -> None:
    labels, text = run("classify", TEXTS[0]).stdout.splitlines()
    assert text == TEXTS[0]
    assert {word for word in labels.split() if word.isalpha()} == {"cold", "mild", "warm"}
    best = labels.split()[:2]
    assert best[0] == "cold" and best[1].endswith("%")


def test_translate_shows_the_source_words() -> None:
    text, *rows = run("translate", "No way!", "--to", "xx", "--from", "en").stdout.splitlines()
    assert text == doubled("No way!")
    assert [row.split()[:2] for row in rows] == [["NNoo", "No"], ["wwaayy", "way"], ["!!", "!"]]


def test_one_json_document_per_line() -> None:
    lines = run("classify", "--json", "--model", "toy", stdin="wind\n\nrain\n").stdout.splitlines()
    wind, blank, rain = map(json.loads, lines)
    assert blank is None
    assert [answer["tokens"][0]["text"] for answer in (wind, rain)] == ["wind", "rain"]
    assert sum(rain["scores"].values()) == pytest.approx(1)


def test_files_are_read_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "CHUNK", 2)
    (tmp_path / "my.txt").write_text("wind\n\nno rain\nand\n", encoding="utf-8")
    output = run("translate", "--json", "--file", str(tmp_path / "my.txt")).stdout.splitlines()
    answers = [json.loads(line) for line in output]
    assert [answer and answer["text"] for answer in answers] == ["wwiinndd", None, "nnoo rraaiinn", "aanndd"]
    blank_stays_blank = run("translate", stdin="\n").stdout
    assert blank_stays_blank == "\n"


def test_a_translator_without_attention_shows_the_text_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_translator(tmp_path, attention=[])
    golden = json.loads((folder / GOLDEN).read_bytes())
    for case in golden["cases"]:
        case["answer"]["attention"] = None
    rewrite(folder, GOLDEN, json.dumps(golden))
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    assert run("translate", "wind").stdout == "wwiinndd\n"


def test_shades_follow_the_weights() -> None:
    text = "A B C D E F G H"
    prediction = json.loads(run("classify", "--json", text).stdout)
    weights = prediction["attention"][0]["weights"][0]
    tokens = [Token(**token) for token in prediction["tokens"]]
    relative = np.array(weights) / max(weights)
    assert relative.min() < 0.05
    spans = terminal.shaded(text, tokens, relative).spans
    assert [(span.start, span.end) for span in spans] == [
        (token.start, token.end) for token, weight in zip(tokens, relative, strict=True) if weight > 0.05
    ]


def test_languages_have_to_be_unambiguous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_translator(tmp_path)
    write_translator(tmp_path, "en-yy", target="yy")
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    with pytest.raises(InvalidInput, match="there are: en to xx, en to yy"):
        run("translate", "wind")
    assert run("translate", "wind", "--to", "yy").stdout.startswith("wwiinndd\n")
    monkeypatch.setattr(sys, "argv", ["service", "translate", "wind", "--from", "en", "--to", "zz"])
    with pytest.raises(SystemExit) as exit_:
        terminal.main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "error: zz is not supported; there are: en to xx, en to yy\n"


def test_models_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = [
        {"name": name, "value": value, "data": "a test (7 texts)"} for name, value in (("F1", 1), ("accuracy", 0.9))
    ]
    write_classifier(tmp_path, metrics=metrics)
    write_translator(tmp_path)
    (write_translator(tmp_path, "en-yy") / "bundle.json").write_text("{")
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    heading, *rows = (line.split("  ") for line in run("models").stdout.splitlines())
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    assert heading[0] == "model" and cells[0][:3] == ["en-xx/1", "translation", "en -> xx"]
    assert cells[1][:2] == ["en-yy/1", "refused"] and "cannot be read" in cells[1][2]
    assert cells[2][:4] == ["toy/1", "classification", "cold, mild, warm", "accuracy 0.9 (a test)"]
    assert cells[2][4].endswith(" MB")
    found = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert found[2]["metric"] == {"name": "accuracy", "value": 0.9, "data": "a test (7 texts)"}


def test_a_glossary_is_a_file_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.csv").write_text("rain,pluie\n", encoding="utf-8")
    monkeypatch.setenv("LIMELIGHT_GLOSSARIES", str(tmp_path))
    for glossary in (str(tmp_path / "my.csv"), "my"):
        assert run("translate", "No rain.", "--glossary", glossary).stdout.startswith("NNoo pluie..\n")
    (tmp_path / "my.txt").write_text("No rain.", encoding="utf-8")
    document = ("translate", "--document", str(tmp_path / "my.txt"), "--to", "xx", "--from", "en", "--glossary")
    run(*document, "my")
    assert (tmp_path / "my_xx.txt").read_text(encoding="utf-8").strip() == "NNoo pluie.."
    with pytest.raises(InvalidInput, match="name of a stored glossary"):
        run(*document, str(tmp_path / "my.csv"))


TMX = (
    '<tmx version="1.4"><body><tu><tuv xml:lang="en"><seg>The rain falls</seg></tuv>'
    '<tuv xml:lang="xx"><seg>La pluie tombe</seg></tuv></tu></body></tmx>'
)


def test_a_memory_is_a_file_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "ui.tmx").write_text(TMX, encoding="utf-8")
    (tmp_path / "stored" / "mine.tmx").write_text(TMX.replace("pluie", "neige"), encoding="utf-8")
    (tmp_path / "mine.tmx").write_text(TMX, encoding="utf-8")
    monkeypatch.setenv("LIMELIGHT_GLOSSARIES", str(tmp_path / "stored"))
    for memory in ("ui", str(tmp_path / "mine.tmx")):
        assert run("translate", "The rain falls", "--memory", memory).stdout == "La pluie tombe\n"
    similar = run("translate", "The rain fell", "--memory", "ui").stdout.splitlines()
    assert similar[0] == doubled("The rain fell")
    assert similar[1].startswith("memory ") and similar[1].endswith("%: The rain falls = La pluie tombe")
    [found] = map(json.loads, run("translate", "The rain falls", "--memory", "ui", "--json").stdout.splitlines())
    assert found["match"]["used"] is True
    (tmp_path / "my.po").write_text('msgid "The rain falls"\nmsgstr ""\n', encoding="utf-8")
    document = ("translate", "--document", str(tmp_path / "my.po"), "--to", "xx", "--from", "en")
    run(*document, "--memory", str(tmp_path / "mine.tmx"))
    assert 'msgstr "La pluie tombe"' in (tmp_path / "my_xx.po").read_text(encoding="utf-8")


def test_progress_has_a_count_and_the_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=written, force_terminal=True, width=80))
    monkeypatch.setattr(terminal, "CHUNK", 2)
    (tmp_path / "my.txt").write_text("wind\n\nrain\n", encoding="utf-8")
    run("classify", "--file", str(tmp_path / "my.txt"))
    assert "Lines" in written.getvalue() and "3/3" in written.getvalue() and "0:00:00" in written.getvalue()


def test_an_unknown_command_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["service", "sing"])
    with pytest.raises(SystemExit) as exit_:
        terminal.main()
    assert exit_.value.code == 2
    assert "No such command" in capsys.readouterr().err


def test_a_key_and_its_line_fit() -> None:
    key, line = run("key", "alice").stdout.splitlines()
    assert Access(parse_keys(line), None).name(key) == "alice"


def test_an_invalid_name_of_a_key() -> None:
    assert CliRunner().invoke(terminal.app, ["key", "a b"]).exit_code == 2


def test_generate_continues_the_prompt() -> None:
    asked = ("--max-tokens", "9", "--seed", "5", "--temperature", "0.8")
    result = run("generate", "The wind", *asked)
    whole = json.loads(run("generate", "The wind", *asked, "--json").stdout)
    assert result.stdout == f"The wind{whole['text']}\n"
    assert len(whole["tokens"]) == 9 and whole["attention"]
    assert "seed 5" in result.stderr
    assert run("generate", "-", *asked, stdin="The wind").stdout == result.stdout


def test_a_document_is_written(tmp_path: Path) -> None:
    source = tmp_path / "my.srt"
    source.write_text("1\n00:00:01,000 --> 00:00:02,000\nwind\n", encoding="utf-8")
    assert (
        run("translate", "--document", str(source), "--to", "xx", "--from", "en").stdout.strip().endswith("my_xx.srt")
    )
    assert (tmp_path / "my_xx.srt").read_text(encoding="utf-8").endswith("\nwwiinndd\n")
    output = tmp_path / "other"
    run("translate", "--document", str(source), "--model", "en-xx", "--to", "xx", "--output", str(output))
    assert output.read_bytes() == (tmp_path / "my_xx.srt").read_bytes()


def test_a_document_needs_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.txt").write_text("wind", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["service", "translate", "--document", str(tmp_path / "my.txt")])
    with pytest.raises(SystemExit):
        terminal.main()
