"""Corpora: the user's own file, splits, and downloads from a server on loopback."""

import dataclasses
import gzip
import hashlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from training import corpora
from training.corpora import (
    CorpusError,
    label_counts,
    labelled_texts,
    own_data,
    read_rows,
    running_text,
    sentence_pairs,
)
from training.recipe import (
    ClassificationData,
    ClassificationRecipe,
    GenerationRecipe,
    RecipeError,
    TextData,
    TranslationData,
    load_recipe,
    recipe_hash,
)


def classification(corpora: list[str]) -> ClassificationData:
    return ClassificationData(corpora=corpora)


def translation(source: str, target: str) -> TranslationData:
    return TranslationData(corpora=[], source=source, target=target)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("spam\tgo\nham\n", r"line 2: 1 column\(s\), line 1 has 2"),
        ("spam\tgo\nham\ta\tb\n", r"line 2: 3 column\(s\), line 1 has 2"),
        ("spam\tgo\n\n", r"line 2: 1 column"),
        ("a\tb\tc\n1\t2\t3\n", r"no columns label and text in its 3 column\(s\) \(a, b, c\); .*COLUMNS=label,text"),
        ("just text\n", r"no columns label and text in its 1 column"),
        ("spam\t \n", r"line 1: the text is empty"),
        ("\tgo\n", r"line 1: the label is empty"),
        (b"spam\tgo\nham\t\xff\n", r"line 2: not UTF-8 \(byte 0xff at character 5\)"),
    ],
)
def test_a_bad_file_is_one_message_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_rows(write(tmp_path / "my.tsv", content), ("label", "text"))


def test_quotes_headers_marks_and_windows_lines_are_only_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", '\ufeffLabel\tText\r\nham\t"hi"\r\nspam\tit\'s "free\r\n')
    assert read_rows(path, ("label", "text"))[1:] == [["ham", '"hi"'], ["spam", "it's \"free"]]


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", "id\tReview\tSentiment\n1\tfine\tgood\n2\tawful\tbad\n")
    assert read_rows(path, ("sentiment", "review"))[1:] == [["good", "fine"], ["bad", "awful"]]


def test_labels_are_renamed_and_others_left_out(tmp_path: Path) -> None:
    rows = [f"{n % 5 + 1}\ttext {n}" for n in range(200)]
    path = str(write(tmp_path / "ratings.txt", "\n".join(rows)))
    labels = {"1": "negative", "2": "negative", "4": "positive", "5": "positive"}
    found = labelled_texts(ClassificationData(corpora=[path], labels=labels), "train")
    assert {(row.label, (int(row.text.split()[1]) % 5 + 1) > 3) for row in found} == {
        ("negative", False),
        ("positive", True),
    }
    assert all(int(row.text.split()[1]) % 5 != 2 for row in found)


def test_the_users_file_is_split_by_content_and_nothing_is_lost(tmp_path: Path) -> None:
    rows = [f"{'ab'[n % 2]}\ttext {n}" for n in range(200)]
    path = str(write(tmp_path / "my.tsv", "\n".join(rows)))
    splits = [labelled_texts(classification([path]), split) for split in ("train", "valid", "test")]
    found = [f"{row.label}\t{row.text}" for split in splits for row in split]
    assert sorted(found) == sorted(rows)
    assert 130 < len(splits[0]) < 190
    assert labelled_texts(classification([path]), "train") == splits[0]


def test_one_label_is_not_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", "".join(f"ham\ttext {n}\n" for n in range(99)))
    with pytest.raises(CorpusError, match=r"two labels.*ham"):
        labelled_texts(classification([str(path)]), "train")


def test_the_users_pairs(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", "".join(f"hello {n}\tbonjour {n}\n" for n in range(99)))
    pairs = sentence_pairs(str(path), "train", translation("en", "fr"))
    assert all(p.target == p.source.replace("hello", "bonjour") and p.references == (p.target,) for p in pairs)


def test_unknown_corpus_is_told_with_the_known_ones() -> None:
    with pytest.raises(CorpusError, match=r"'nope' is neither a file nor a known corpus .*sms-spam"):
        labelled_texts(classification(["nope"]), "train")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP on loopback, and its address."""
    folder = tmp_path / "origin"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def corpus(base_url: str, prepared: dict[str, str], prepare: object) -> corpora.Corpus:
    files = {
        split: [corpora.File(f"{split}.tsv.gz", hashlib.sha256(text.encode()).hexdigest())]
        for split, text in prepared.items()
    }
    return corpora.Corpus("some/where", files, "", "", prepare, base_url)  # type: ignore[arg-type]


def sms_csv(rows: int) -> bytes:
    lines = ["v1,v2,,,", *(f'{"ham" if n % 3 else "spam"},"message\t{n}, \xa3{n}",,,' for n in range(rows))]
    return "\n".join(lines).encode("latin-1")


def sms_prepared(first: int, last: int) -> str:
    rows = [f"{'ham' if n % 3 else 'spam'}\tmessage {n}, \xa3{n}" for n in range(first, last)]
    return "".join(row + "\n" for row in ["label\ttext", *rows])


def test_a_missing_corpus_is_downloaded_prepared_and_kept(
    tmp_path: Path, origin: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = origin
    (folder / "spam.csv").write_bytes(sms_csv(5003))
    prepared = {"train": sms_prepared(0, 5000), "test": sms_prepared(5000, 5003)}
    monkeypatch.setitem(corpora.CORPORA, "tiny", corpus(url, prepared, corpora.prepare_sms_spam))
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path / "data"))
    assert [row.text for row in labelled_texts(classification(["tiny"]), "test")] == [
        f"message {n}, \xa3{n}" for n in range(5000, 5003)
    ]
    (folder / "spam.csv").unlink()
    assert (
        len(labelled_texts(classification(["tiny"]), "train")) + len(labelled_texts(classification(["tiny"]), "valid"))
        == 5000
    )


def test_a_download_with_a_wrong_checksum_is_not_kept(
    tmp_path: Path, origin: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = origin
    (folder / "spam.csv").write_bytes(sms_csv(5003))
    monkeypatch.setitem(corpora.CORPORA, "tiny", corpus(url, {"train": "other"}, corpora.prepare_sms_spam))
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path / "data"))
    with pytest.raises(CorpusError, match="expected"):
        labelled_texts(classification(["tiny"]), "train")
    assert not (tmp_path / "data").exists()


def test_multi30k_is_four_files_side_by_side(
    tmp_path: Path, origin: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = origin
    for name in ("train", "val", "test_2016_flickr"):
        for language in ("en", "de", "fr", "cs"):
            (folder / f"{name}.{language}.gz").write_bytes(gzip.compress(f"{name} {language} \n".encode()))
    prepared = {
        split: f"en\tde\tfr\tcs\n{name} en\t{name} de\t{name} fr\t{name} cs\n"
        for split, name in (("train", "train"), ("valid", "val"), ("test", "test_2016_flickr"))
    }
    monkeypatch.setitem(corpora.CORPORA, "tiny", corpus(url, prepared, corpora.prepare_multi30k))
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path / "data"))
    [pair] = sentence_pairs("tiny", "valid", translation("de", "cs"))
    assert (pair.source, pair.target) == ("val de", "val cs")
    with pytest.raises(CorpusError, match="not 'ko'"):
        sentence_pairs("tiny", "valid", translation("en", "ko"))


def test_an_origin_that_is_gone_and_a_split_that_cannot_be_made_again(
    tmp_path: Path, origin: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path))
    monkeypatch.setitem(corpora.CORPORA, "tiny", corpus(origin[1], {"train": ""}, corpora.prepare_sms_spam))
    with pytest.raises(CorpusError, match=r"cannot download .*/spam.csv: .*404"):
        labelled_texts(classification(["tiny"]), "train")
    with pytest.raises(CorpusError, match=r"--data my\.tsv"):
        sentence_pairs("tatoeba-en-fr", "train", translation("en", "fr"))


def test_the_users_own_file_makes_a_recipe_of_its_own(tmp_path: Path) -> None:
    rows = [f"{'ab'[n % 2]}\tnumber {n} {'x' * (n % 200)}" for n in range(100)]
    path = write(tmp_path / "My Tickets (2).tsv", "team\tsubject\n" + "\n".join(rows))
    recipe = own_data(load_recipe("sms-spam"), path, "team,subject")
    assert isinstance(recipe, ClassificationRecipe)
    assert (recipe.name, recipe.data.corpora) == ("my-tickets-2", [str(path)])
    assert label_counts(recipe.data) == Counter(row.label for row in labelled_texts(recipe.data, "train"))
    valid = [row.text for row in labelled_texts(recipe.data, "valid")]
    assert len(recipe.examples) == 3 and all(example in valid and len(example) <= 100 for example in recipe.examples)
    assert recipe_hash(recipe) != recipe_hash(load_recipe("sms-spam"))
    with pytest.raises(RecipeError, match="--columns needs two names"):
        own_data(load_recipe("sms-spam"), path, "team")
    with pytest.raises(RecipeError, match="is no name for a model"):
        own_data(load_recipe("sms-spam"), path.rename(tmp_path / "\ub0b4.tsv"))


def test_one_label_is_refused_before_any_training(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", "".join(f"a\tnumber {n}\n" for n in range(100)))
    with pytest.raises(CorpusError, match=r"two labels or more; the data has only \['a'\]"):
        own_data(load_recipe("sms-spam"), path)


def test_fewer_rows_are_drawn_from_all_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "my.tsv", "".join(f"{'a' if n < 500 else 'b'}\tnumber {n}\n" for n in range(1000)))
    rows = labelled_texts(ClassificationData(corpora=[str(path)], rows=100), "train")
    assert len(rows) == 100
    assert 30 < sum(row.label == "a" for row in rows) < 70
    assert rows == labelled_texts(ClassificationData(corpora=[str(path)], rows=200), "train")[:100]


def test_a_running_text_is_cut_in_three(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_bytes(b"\xef\xbb\xbf" + "".join(f"line {n:04}\r\n" for n in range(1000)).encode())
    data = TextData(corpora=[str(tmp_path / "my.txt")])
    train, valid, test = (running_text(data, split) for split in ("train", "valid", "test"))
    assert train + valid + test == "".join(f"line {n:04}\n" for n in range(1000))
    assert [len(train), len(valid), len(test)] == [8000, 1000, 1000]
    (tmp_path / "my.txt.gz").write_bytes(gzip.compress((tmp_path / "my.txt").read_bytes()))
    assert running_text(TextData(corpora=[str(tmp_path / "my.txt.gz")]), "train") == train


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"too short", "9 characters; at least 1,000"), (b"fine\n" * 500 + b"\xff\n", "line 501: not UTF-8")],
)
def test_a_running_text_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "my.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        running_text(TextData(corpora=[str(tmp_path / "my.txt")]), "train")


def test_a_book_is_downloaded_and_kept(
    tmp_path: Path, origin: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = origin
    (folder / "book.txt").write_text("word " * 1000)
    whole = "PREFACE\n" + "word " * 1000
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path / "data"))
    book = corpora.Book(
        "book.txt.gz", hashlib.sha256(whole.encode()).hexdigest(), "", "", f"{url}/book.txt", "PREFACE\n"
    )
    monkeypatch.setitem(corpora.BOOKS, "wrong", dataclasses.replace(book, sha256="0"))
    with pytest.raises(CorpusError, match="expected 0"):
        running_text(TextData(corpora=["wrong"]), "train")
    assert not (tmp_path / "data").exists()
    monkeypatch.setitem(corpora.BOOKS, "tiny", book)
    assert running_text(TextData(corpora=["tiny"]), "train") == whole[: round(0.8 * len(whole))]
    (folder / "book.txt").unlink()
    assert running_text(TextData(corpora=["tiny"]), "test") == whole[round(0.9 * len(whole)) :]


def test_the_users_own_text_makes_a_recipe_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "My Novel.txt").write_text("".join(f"Chapter {n}.\n\n  It rained.\n" for n in range(99)))
    own = own_data(load_recipe("nietzsche"), tmp_path / "My Novel.txt")
    assert isinstance(own, GenerationRecipe)
    assert own.name == "my-novel" and own.data.corpora == [str(tmp_path / "My Novel.txt")]
    assert len(own.examples) == 3 and all(example in running_text(own.data, "valid") for example in own.examples)
    with pytest.raises(RecipeError, match="no columns"):
        own_data(load_recipe("nietzsche"), tmp_path / "My Novel.txt", "a,b")
