"""Tables of users: formats, columns and bad rows."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.corpora import CorpusError, read_rows, sentence_pairs
from training.recipe import TranslationData

ROWS = [["ham", 'He said "hi", twice'], ["spam", "two lines"], ["ham", "plain; text"]]
LABELLED = ("label", "text")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


CSV = 'id,text,label\n1,"He said ""hi"", twice",ham\n\n2,"two\r\nlines",spam\n3,plain; text,ham\n'
JSON_ROWS = [{"label": label, "text": text} for label, text in ROWS]
FORMATS: dict[str, str | bytes] = {
    "a.csv": CSV,
    "b.csv": CSV.replace("plain; text", '"plain; text"')
    .replace(",ham", ";ham")
    .replace(",spam", ";spam")
    .replace("id,text,label", "id;text;label")
    .replace("1,", "1;")
    .replace("2,", "2;")
    .replace("3,", "3;"),
    "c.jsonl": "".join(json.dumps(row) + "\n" for row in JSON_ROWS) + "\n",
    "d.json": json.dumps(JSON_ROWS),
    "e.tsv": 'label\ttext\nham\t"He said ""hi"", twice"\nspam\t"two\nlines"\nham\t"plain; text"\n',
    "f.csv.gz": gzip.compress(CSV.encode()),
    "g.tsv": 'ham\tHe said "hi", twice\nspam\ttwo lines\nham\tplain; text\n',
    "h.tsv": 'label\ttext\nham\tHe said "hi", twice\nspam\ttwo lines\nham\tplain; text\n'.encode("utf-16"),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_has_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = [
        [label, " ".join(text.split())] for label, text in read_rows(write(tmp_path / name, FORMATS[name]), LABELLED)
    ]
    assert rows == [["label", "text"], *ROWS]


def test_parquet_and_a_saved_dataset(tmp_path: Path) -> None:
    table = pa.table({"text": [text for _, text in ROWS], "label": [label for label, _ in ROWS]})
    pq.write_table(table, tmp_path / "my.parquet")
    assert read_rows(tmp_path / "my.parquet", LABELLED)[1:] == ROWS
    classes = pa.table({"text": [text for _, text in ROWS], "label": [0, 1, 0]})
    for split in ("test", "train"):
        (tmp_path / "saved" / split).mkdir(parents=True)
        with pa.OSFile(str(tmp_path / "saved" / split / "data-00000-of-00001.arrow"), "wb") as file:
            with pa.ipc.new_stream(file, classes.schema) as writer:
                writer.write_table(classes)
        features = {"text": {"_type": "Value"}, "label": {"names": ["ham", "spam"], "_type": "ClassLabel"}}
        (tmp_path / "saved" / split / "dataset_info.json").write_text(json.dumps({"features": features}))
    assert read_rows(tmp_path / "saved", LABELLED)[1:] == ROWS + ROWS
    with pytest.raises(CorpusError, match=r"my\.parquet: not Parquet"):
        read_rows(write(tmp_path / "my.parquet", b"PAR1 nothing"), LABELLED)


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("Category\tID\tMessage\nham\t1\tgo now\n", LABELLED),
        ("go now\tham\n", ("2", "1")),
        ("team\tsubject\tnote\nham\tgo now\tx\n", ("team", "subject")),
        ("x\ty\tham\tgo now\n", ("3", "4")),
    ],
)
def test_columns_are_found_by_name_or_number(tmp_path: Path, content: str, columns: tuple[str, str]) -> None:
    assert read_rows(write(tmp_path / "my.tsv", content), columns)[1:] == [["ham", "go now"]]


def test_two_columns_without_names_are_found_by_their_values(tmp_path: Path) -> None:
    lines = [f"this is message {n}\t{'ab'[n % 2]}" for n in range(30)]
    found = read_rows(write(tmp_path / "my.tsv", "\n".join(lines)), LABELLED)
    assert found[1] == ["a", "this is message 0"] and len(found) == 31
    found = read_rows(write(tmp_path / "other.tsv", "\n".join(["was gesagt wurde\tArt", *lines])), LABELLED)
    assert found[1] == ["a", "this is message 0"] and len(found) == 31


def test_bad_rows_are_listed_or_skipped(tmp_path: Path) -> None:
    lines = ["ham\tfine", *["spam"] * 12, "\tno label", "spam\tgo"]
    path = write(tmp_path / "my.tsv", "\n".join(lines).encode() + b"\nham\t\xff\n")
    with pytest.raises(CorpusError) as error:
        read_rows(path, LABELLED)
    shown = str(error.value).splitlines()
    assert shown[0] == "14 bad row(s): correct them, or skip them with --skip-bad-rows (make train: SKIP=1)"
    assert shown[1] == f"{path}, line 2: 1 column(s), line 1 has 2"
    assert len(shown) == 12 and shown[-1] == "and 4 more"
    assert read_rows(path, LABELLED, skip_bad=True)[1:] == [["ham", "fine"], ["spam", "go"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("my.csv", 'label,text\nham,"open\nspam,go\n', r"my\.csv: the quotes are not in pairs .* line 2"),
        (
            "my.jsonl",
            '{"label": "a", "text": "b"}\n{"label": \n[1]\n',
            r"line 2: not JSON.*\n.*line 3: not a JSON object",
        ),
        ("my.json", "[1", r"my\.json: not JSON"),
        ("my.jsonl", '{"a": 1, "b": "x"}\n', r"no columns label and text in its 2 column\(s\) \(a, b\)"),
        ("my.tmx", "<tmx", r"my\.tmx: not XML"),
        ("my.tsv.gz", b"no gzip", r"my\.tsv\.gz: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_message(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        read_rows(write(tmp_path / name, content), LABELLED)


def unit(number: int) -> str:
    sides = {"en-US": f"word <b>{number}</b>", "fr": f"mot {number}"}
    parts = [f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>' for language, text in sides.items()]
    return f"<tu>{''.join(parts)}</tu>"


def test_translators_read_tmx_xliff_and_language_codes(tmp_path: Path) -> None:
    xliff = "".join(f"<trans-unit><source>word {n}</source><target>mot {n}</target></trans-unit>" for n in range(50))
    files = [
        write(tmp_path / "my.tmx", f"<tmx><body>{''.join(map(unit, range(50)))}</body></tmx>"),
        write(tmp_path / "my.xlf", f'<xliff xmlns="urn:x"><file><body>{xliff}</body></file></xliff>'),
        write(tmp_path / "my.csv", "FR,EN\n" + "".join(f"mot {n},word {n}\n" for n in range(50))),
    ]
    data = TranslationData(corpora=[], source="en", target="fr")
    found = [[(pair.source, pair.target) for pair in sentence_pairs(str(file), "train", data)] for file in files]
    assert found[0] == found[1] == found[2] and len(found[0]) > 30
    assert all(target == source.replace("word", "mot") for source, target in found[0])
