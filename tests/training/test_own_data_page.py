"""docs/train-a-classifier.md is followed command by command, with a table of 300 lines."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.code_blocks import ROOT, blocks
from tests.fakes import serving
from tests.training.own_pages import lines, run
from training.fitted import schedule_for

PAGE = ROOT / "docs" / "train-a-classifier.md"
TOPICS = {
    "billing": "invoice charged refund payment card price bill twice money receipt".split(),
    "access": "login password account locked reset code email log enter blocked".split(),
    "shipping": "parcel delivery late lost package courier address arrived box tracking".split(),
}
COMMON = "please help my the is and I was with again today now still".split()


def tickets(seed: int = 1, shuffled: bool = False) -> str:
    """300 lines in the format of the page, with three labels. Shuffled labels have no relation to the texts."""
    generator, rows = random.Random(seed), []
    for number in range(300):
        label = sorted(TOPICS)[number % 3]
        words = generator.sample(TOPICS[label], 2) + generator.sample(COMMON, 5)
        generator.shuffle(words)
        rows.append((generator.choice(sorted(TOPICS)) if shuffled else label, " ".join(words)))
    return "".join(f"{label}\t{text}\n" for label, text in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: the table of the page, no bundles, no runs. Training has a third of the usual epochs."""
    folder = tmp_path_factory.mktemp("own")

    def short(rows: int, mean_tokens: float, longest: int, started: bool) -> dict[str, float | int | bool]:
        schedule = schedule_for(rows, mean_tokens, longest, started)
        return {**schedule, **{key: schedule[key] // 3 for key in ("epochs", "patience", "warmup_steps")}}

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("training.fitted.schedule_for", short)
        (folder / "tickets.tsv").write_text(tickets())
        yield folder


def accuracy(folder: Path) -> float:
    metrics = json.loads((folder / "bundle.json").read_text())["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "accuracy")


def test_the_page_trains_serves_and_improves(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, *again = lines(PAGE, "2.")
    shown = run(first)
    assert re.search(r"^training texts: access \d+, billing \d+, shipping \d+$", shown, re.MULTILINE)
    for stage in ("train", "export", "evaluate"):
        assert len(re.findall(rf"^{stage} .* \d+ s$", shown, re.MULTILINE)) == 1
    assert shown.splitlines()[-1].startswith("next: make serve")
    bundle = folder / "models" / "tickets" / "1"
    assert accuracy(bundle) >= 0.9
    assert "linear model" in (bundle / "README.md").read_text()
    assert "Warning" not in capfd.readouterr().err + shown and "Tip" not in shown
    assert again[0].startswith(".venv")
    for line in again:
        assert "nothing to train" in (shown := run(line)) or not re.search(" (train|fit) ", line), shown
    assert [path.name for path in bundle.parent.iterdir()] == ["1"]
    with serving(folder / "models") as client:
        [curl] = re.findall(r"/classify -d '(.*?)'", PAGE.read_text())
        assert client.post("/classify", json=json.loads(curl)).json()["predictions"][0]["label"] == "access"
    [recipe] = [text for kind, text in blocks(PAGE) if kind == "toml"]
    (folder / "tickets.toml").write_text(recipe)
    run(lines(PAGE, "4.")[0])
    card = (folder / "models" / "tickets-reviewed" / "1" / "README.md").read_text()
    assert "Routing support tickets to a team." in card and "spam" not in card


def test_changed_rows_and_columns_are_the_next_version(folder: Path) -> None:
    (folder / "tickets.csv").write_text("Team;Subject\n" + tickets(2).replace("\t", ";"))
    shown = run("make train DATA=tickets.csv COLUMNS=team,subject EPOCHS=1")
    assert "changed since the last run of tickets" in shown and "models/tickets/2" in shown
    shown = run("make train DATA=tickets.csv COLUMNS=team,subject EPOCHS=1 NAME=other VERSION=3")
    assert "models/other/3" in shown


def test_labels_without_relation_to_the_texts_are_reported(folder: Path) -> None:
    (folder / "noise.tsv").write_text(tickets(3, shuffled=True))
    assert "Nothing was learned" in run("make train DATA=noise.tsv EPOCHS=3")
    assert "Nothing was learned" in (folder / "models" / "noise" / "1" / "README.md").read_text()


def test_a_small_or_broken_file_is_one_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "few.tsv").write_text("a\tone\nb\ttwo\na\tthree\n")
    (folder / "bad.tsv").write_text(tickets() + "billing\n")
    for name, message in (("few", "few.tsv: too few rows: the file has 3"), ("bad", "line 301: 1 column")):
        with pytest.raises(Exception, match=message):
            run(f"make train DATA={name}.tsv")
    assert "models/bad/1" in run("make train DATA=bad.tsv SKIP=1 EPOCHS=1")
