"""Named public corpora and the user's own TSV -> rows.

A named corpus lies under `LIMELIGHT_DATA` (default `data/`) as gzipped TSV files with a header line and
no quoting. What is missing there is downloaded from its public origin, brought into that form and kept
only if its checksum is right.
"""

import csv
import gzip
import hashlib
import io
import os
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.recipe import (
    AnyRecipe,
    ClassificationData,
    ClassificationRecipe,
    GenerationRecipe,
    RecipeError,
    TextData,
    TranslationData,
)

Split = Literal["train", "valid", "test"]
Table = list[list[str]]
"""Rows of columns, the header first."""

BREAKS = str.maketrans(dict.fromkeys("\t\r\n\v\f\0\x1c\x1d\x1e\x85\u2028\u2029", " "))

QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""A field as CSV quotes it."""


class CorpusError(ValueError):
    """The data cannot be used; the message names the file and, where there is one, the line."""


@dataclass(frozen=True)
class LabelledText:
    label: str
    text: str


@dataclass(frozen=True)
class SentencePair:
    source: str
    target: str
    references: tuple[str, ...]
    """Every accepted translation, `target` first."""


@dataclass(frozen=True)
class Corpus:
    folder: str
    files: dict[Split, tuple[str, str]]
    """Split -> (file name, sha256 of the unpacked text)."""
    licence: str
    origin: str
    prepare: Callable[["Corpus"], dict[Split, Table]] | None = None
    """Downloads the origin and makes the splits; None where the split cannot be made again from it."""
    base_url: str = ""
    unlabelled: tuple[str, str] | None = None
    """File name and sha256 of texts without labels, one a line."""


def data_folder() -> Path:
    return Path(os.environ.get("LIMELIGHT_DATA", "data"))


def download(url: str) -> bytes:
    """The bytes behind a URL. Raises CorpusError, with the URL."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            content: bytes = response.read()
            return content
    except (urllib.error.URLError, TimeoutError) as error:
        raise CorpusError(f"cannot download {url}: {error}") from None


def clean(text: str) -> str:
    return text.translate(BREAKS).strip()


def prepare_sms_spam(corpus: Corpus) -> dict[Split, Table]:
    """The CSV's first two columns, in file order: 5,000 rows to train on, the rest to test on."""
    content = download(f"{corpus.base_url}/spam.csv").decode("latin-1")
    rows = [[clean(field) for field in row[:2]] for row in csv.reader(io.StringIO(content))][1:]
    header = ["label", "text"]
    return {"train": [header, *rows[:5000]], "test": [header, *rows[5000:]]}


def prepare_multi30k(corpus: Corpus) -> dict[Split, Table]:
    """One file per language, line by line side by side."""
    languages = ["en", "de", "fr", "cs"]
    names: dict[Split, str] = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    tables: dict[Split, Table] = {}
    for split, name in names.items():
        packed = [download(f"{corpus.base_url}/{name}.{language}.gz") for language in languages]
        columns = [[clean(line) for line in gzip.decompress(p).decode().removesuffix("\n").split("\n")] for p in packed]
        tables[split] = [languages, *([*row] for row in zip(*columns, strict=True))]
    return tables


CORPORA: dict[str, Corpus] = {
    "sms-spam": Corpus(
        folder="classification/sms_spam",
        files={
            "train": ("train.tsv.gz", "e961988229af1b18f9b42516405fe1bac3b0cee441dbf8bddeac1f6400eaea8b"),
            "test": ("test.tsv.gz", "469d13c881e3814beb7df2334ea458eb3f9d7280519a922d348be064399c4748"),
        },
        licence="not stated for the corpus; the repository it is taken from is under the Apache License 2.0",
        origin="SMS Spam Collection, https://github.com/mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-",
        prepare=prepare_sms_spam,
        base_url="https://raw.githubusercontent.com/mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-/9823a7f115df",
    ),
    "imdb": Corpus(
        folder="classification/imdb",
        files={
            "train": ("train.tsv.gz", "926fb5429733723fc15710e25ac8542c594349650bd48659068e998d60dff68e"),
            "test": ("test.tsv.gz", "c2462b82cd1b87e37bfe4653294cc4399eb246a378b6c9825f7d952e520a04b8"),
        },
        licence="not stated; cite Maas et al. 2011",
        origin="Large Movie Review Dataset, https://www.aclweb.org/anthology/P11-1015",
        unlabelled=("unlabeled.txt.gz", "51c50e8725b0b586b3b4dff6ab85e18ab66c5d1b7b8580be7e119a4afa6bfb3d"),
    ),
    "nsmc": Corpus(
        folder="classification/nsmc",
        files={
            "train": ("train.tsv.gz", "7190040c6236977fbed9ca4bc9aa7e75928b1edf7b3ac63536559024b34bb522"),
            "test": ("test.tsv.gz", "802a6f796c82d3eca93d9b73a43d934c9281112fa41fee11916aeb0c392ce85c"),
        },
        licence="CC0 1.0",
        origin="Naver sentiment movie corpus, https://github.com/e9t/nsmc",
    ),
    "steam-ko": Corpus(
        folder="classification/steam_ko",
        files={
            "train": ("train.tsv.gz", "a055f5f969940c8d14e2036f7ba60a7ed00857ba2c872f94a0c9a96112d969a9"),
            "test": ("test.tsv.gz", "4e3574a01aedc2b3e035cda88405476c2663e4015fbde32d9986ca6a45f0ca79"),
        },
        licence="not stated",
        origin="Korean Steam reviews, https://github.com/2021143021/steam-review-sentiment-2021143021-",
    ),
    "tatoeba-en-fr": Corpus(
        folder="translation/tatoeba_en_fr",
        files={
            "train": ("train.tsv.gz", "0174a3a075c48ad97968ad436521982f7aa726d82f718a4bec4a7c6c77d3936c"),
            "valid": ("valid.tsv.gz", "bd6546d431ddcb143a4a99215f1be5dfc9001f0d7e5c69df219a2f7615c407f4"),
            "test": ("test.tsv.gz", "d8351889c8689f47a510929b914b067aad44fc69cc7bbd3872253438855eea3c"),
        },
        licence="CC BY 2.0 FR (Tatoeba, by way of manythings.org/anki)",
        origin="Tatoeba, https://tatoeba.org, packed by https://www.manythings.org/anki (2019-04-07)",
    ),
    "tatoeba-en-de": Corpus(
        folder="translation/tatoeba_en_de",
        files={
            "train": ("train.tsv.gz", "3c583ca06afc79c97a4a639d98422499ea765fc88a70e2dd516af08c364264fa"),
            "valid": ("valid.tsv.gz", "b27f84254118868cc5a2732c75d0e4144dc7e6b0495c9200199f306c17f9eeff"),
            "test": ("test.tsv.gz", "c708eae787591ba9ea431252dd996b9a56e2ccb3d30cbbe7d3c10046cfb463ff"),
        },
        licence="CC BY 2.0 FR (Tatoeba, by way of manythings.org/anki)",
        origin="Tatoeba, https://tatoeba.org, packed by https://www.manythings.org/anki (2018-04-07)",
    ),
    "multi30k": Corpus(
        folder="translation/multi30k",
        files={
            "train": ("train.tsv.gz", "5b02a1a5d508391ea4a74c2d7fa9545a459b16c9d86424203159a6e7957eb451"),
            "valid": ("valid.tsv.gz", "5e07ca370791632ba0d202ba5dca8afff1a5db470e1726baabc45de6517fa068"),
            "test": ("test_2016_flickr.tsv.gz", "e42302bf476ec3b316aee00d43b75b1a1b7a7b17c5d57a17e8b89b547d820f8b"),
        },
        licence="not stated for the text; for non-commercial research and educational purposes",
        origin="Multi30k task 1, https://github.com/multi30k/dataset",
        prepare=prepare_multi30k,
        base_url="https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56/data/task1/raw",
    ),
}


@dataclass(frozen=True)
class Book:
    """A running text."""

    file: str
    sha256: str
    """Of the unpacked text."""
    licence: str
    origin: str
    url: str
    lacks: str
    """What stands before the text that lies there."""


BOOKS: dict[str, Book] = {
    "nietzsche": Book(
        file="nietzsche.txt.gz",
        sha256="23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
        licence="not stated",
        origin="Friedrich Nietzsche in English, as in Keras's examples, "
        "https://github.com/mirashe/simple-predictive-keyboard",
        url="https://raw.githubusercontent.com/mirashe/simple-predictive-keyboard/d4cfa35dd1e0/nietzsche.txt",
        lacks="PREFACE\n",
    ),
}


def read_book(book: Book) -> str:
    """A running text, downloaded where it is not in the data folder. Raises CorpusError."""
    path = data_folder() / book.file
    if not path.is_file():
        text = book.lacks.encode() + download(book.url)
        if (actual := hashlib.sha256(text).hexdigest()) != book.sha256:
            raise CorpusError(f"{book.url} has sha256 {actual}, expected {book.sha256}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text, 9, mtime=0))
    return unpack(path, book.sha256)


LEAST_CHARACTERS = 1_000
"""Of a running text: with less there is nothing to learn from."""


def read_text(path: Path) -> str:
    """The user's own text: UTF-8, plain or gzipped. Raises CorpusError, with the line number where there is one."""
    lines = read_bytes(path).split(b"\n")
    text = "\n".join("\t".join(decoded(path, number, line)) for number, line in enumerate(lines, start=1))
    if len(text) < LEAST_CHARACTERS:
        raise CorpusError(f"{path} has {len(text)} characters; at least {LEAST_CHARACTERS:,} are needed to learn from")
    return text


def running_text(data: TextData, split: Split) -> str:
    """A recipe's text: of each corpus the first eight tenths, the ninth or the last. Raises CorpusError."""
    bounds: dict[Split, tuple[float, float]] = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
    low, high = bounds[split]
    texts = [read_book(BOOKS[corpus]) if corpus in BOOKS else read_text(own_file(corpus)) for corpus in data.corpora]
    return "".join(text[round(low * len(text)) : round(high * len(text))] for text in texts)


def own_file(corpus: str) -> Path:
    """The user's file of that name, here or in the data folder. Raises CorpusError."""
    path = next((path for path in (Path(corpus), data_folder() / corpus) if path.is_file()), None)
    if path is None:
        known = ", ".join(sorted([*CORPORA, *BOOKS]))
        raise CorpusError(f"{corpus!r} is neither a file nor a known corpus ({known})")
    return path


def read_bytes(path: Path) -> bytes:
    """The user's own file, unpacked if it is gzipped. Raises CorpusError."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: {error}") from None


def fetch(corpus: Corpus) -> None:
    """Download a corpus into the data folder. Raises CorpusError; nothing is written unless every split is right."""
    if corpus.prepare is None:
        raise CorpusError(
            f"{corpus.folder} is not in {data_folder()} (LIMELIGHT_DATA), and its split cannot be made again from its "
            f"origin ({corpus.origin}). Put the files there, or train on your own file with --data my.tsv."
        )
    packed = {}
    for split, table in corpus.prepare(corpus).items():
        text = "".join("\t".join(row) + "\n" for row in table).encode()
        name, expected = corpus.files[split]
        if (actual := hashlib.sha256(text).hexdigest()) != expected:
            raise CorpusError(f"{corpus.folder}/{name} as downloaded has sha256 {actual}, expected {expected}")
        packed[name] = gzip.compress(text, 9, mtime=0)
    folder = data_folder() / corpus.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in packed.items():
        (folder / name).write_bytes(content)


def read_table(name: str, split: Split) -> Table | None:
    """A split of a named corpus, the header first; None if the corpus has no such split. Raises CorpusError."""
    corpus = CORPORA[name]
    if split not in corpus.files:
        return None
    file_name, expected = corpus.files[split]
    path = data_folder() / corpus.folder / file_name
    if not path.is_file():
        fetch(corpus)
    return [line.split("\t") for line in unpack(path, expected).removesuffix("\n").split("\n")]


def unpack(path: Path, expected: str) -> str:
    """The text of a gzipped file, checked. Raises CorpusError."""
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: {error}") from None
    if (actual := hashlib.sha256(text).hexdigest()) != expected:
        raise CorpusError(f"{path} is not the file this recipe was made for: sha256 {actual}, expected {expected}")
    return text.decode()


def read_tsv(path: Path, columns: tuple[str, str]) -> Table:
    """The user's own file: tab-separated, UTF-8, no quoting; the two columns of these names, or the only two.

    The first line is a header if both names stand in it, in any case and among others. Raises CorpusError
    with the line number at the first line that cannot be read.
    """
    lines = read_bytes(path).removesuffix(b"\n").split(b"\n")
    first = [field.strip().lower() for field in decoded(path, 1, lines[0])]
    has_header = all(column.lower() in first for column in columns)
    if not has_header and len(first) != 2:
        raise CorpusError(
            f"{path}, line 1: expected {columns[0]}<TAB>{columns[1]}, or a header that names them (--columns says how "
            f"yours are called); found {len(first)} column(s)"
        )
    places = [first.index(column.lower()) for column in columns] if has_header else [0, 1]
    table = [list(columns)]
    for number, line in enumerate(lines[has_header:], start=1 + has_header):
        fields = decoded(path, number, line)
        if len(fields) != len(first):
            raise CorpusError(f"{path}, line {number}: {len(fields)} column(s), line 1 has {len(first)}")
        row = [clean(fields[place]) for place in places]
        for field, column in zip(row, columns, strict=True):
            if not field:
                raise CorpusError(f"{path}, line {number}: the {column} is empty")
        table.append(row)
    if table[1:] and all(QUOTED.fullmatch(row[1]) for row in table[1:]):
        raise CorpusError(
            f"{path}, line {1 + has_header}: the {columns[1]} is in quotes, as on every line; "
            "write the file without quoting"
        )
    return table


def decoded(path: Path, number: int, line: bytes) -> list[str]:
    """The fields of a line. Raises CorpusError if it is not UTF-8."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r").split("\t")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from None


def held_out(row: list[str]) -> float:
    """A row's place in [0, 1), the same in every run and on every machine: decides its split."""
    return int.from_bytes(hashlib.sha256("\t".join(row).encode()).digest()[:8], "big") / 2**64


def user_split(table: Table, split: Split) -> Table:
    """Of the user's file a tenth is kept for validation and a tenth for the test, by content."""
    bounds: dict[Split, tuple[float, float]] = {"test": (0.0, 0.1), "valid": (0.1, 0.2), "train": (0.2, 1.0)}
    low, high = bounds[split]
    rows = [row for row in table[1:] if low <= held_out(row) < high]
    if not rows:
        raise CorpusError(f"too few rows: none is left for the {split} split")
    return [table[0], *rows]


def split_of(corpus: str, split: Split, columns: tuple[str, str]) -> Table:
    """A split of a named corpus or of a file; a corpus without `valid` gives a tenth of its `train`."""
    if corpus not in CORPORA:
        return user_split(read_tsv(own_file(corpus), columns), split)
    if "valid" not in CORPORA[corpus].files and split != "test":
        table = read_table(corpus, "train")
        assert table is not None
        return [table[0], *(row for row in table[1:] if (held_out(row) < 0.1) == (split == "valid"))]
    table = read_table(corpus, split)
    if table is None:
        raise CorpusError(f"{corpus} has no {split} split")
    return table


def labelled_texts(data: ClassificationData, split: Split) -> list[LabelledText]:
    """The rows of a classification recipe. Raises CorpusError, also if a training split has fewer than two labels."""
    rows = [LabelledText(*row) for corpus in data.corpora for row in split_of(corpus, split, data.columns)[1:]]
    if data.labels is not None:
        rows = [LabelledText(data.labels[row.label], row.text) for row in rows if row.label in data.labels]
    if split == "train" and len(counts := Counter(row.label for row in rows)) < 2:
        raise CorpusError(f"a classifier needs two labels or more; the data has only {list(counts)}")
    if split == "train" and data.rows is not None:  # by content, since a file may be sorted by its labels
        rows = sorted(rows, key=lambda row: held_out([row.label, row.text]))[: data.rows]
    return rows


def label_counts(data: ClassificationData) -> dict[str, int]:
    """Label -> how many training texts have it, by label. Raises CorpusError."""
    return dict(sorted(Counter(row.label for row in labelled_texts(data, "train")).items()))


def unlabelled_texts(data: ClassificationData) -> list[str]:
    """Further texts without labels, of the corpora that have them."""
    return [text for corpus in data.corpora if corpus in CORPORA for text in read_unlabelled(CORPORA[corpus])]


def read_unlabelled(corpus: Corpus) -> list[str]:
    """Raises CorpusError if the file is not there or not the right one."""
    if corpus.unlabelled is None:
        return []
    name, expected = corpus.unlabelled
    return unpack(data_folder() / corpus.folder / name, expected).removesuffix("\n").split("\n")


def own_data(recipe: AnyRecipe, path: Path, columns: str | None = None) -> AnyRecipe:
    """The recipe for the user's own file: named after it, with its corpora and its texts as examples.

    `columns` are the two names in its header, with a comma between. The file is read whole, so that what is wrong
    with it is told before any training. Raises CorpusError or RecipeError.
    """
    name = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")
    if not name:
        raise RecipeError(f"{path.name!r} gives the model no name: call the file by letters a-z or digits")
    if columns is not None and columns.count(",") != 1:
        raise RecipeError(f"--columns takes two names with a comma between, not {columns!r}")
    if columns is not None and isinstance(recipe, GenerationRecipe):
        raise RecipeError("a running text has no columns: leave --columns out")
    changed = {"corpora": [str(path)], **({"columns": tuple(columns.split(","))} if columns else {})}
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})
    if isinstance(own, GenerationRecipe):
        texts = [line[:60] for line in running_text(own.data, "valid").splitlines() if line.strip()]
    elif isinstance(own, ClassificationRecipe):
        labelled_texts(own.data, "train")
        texts = [row.text for row in labelled_texts(own.data, "valid")]
    else:
        texts = [pair.source for pair in sentence_pairs(str(path), "valid", own.data)]
    told = {
        "name": name,
        "description": f"Trained on {path.name} by the recipe {recipe.name}.",
        "intended_use": f"Texts like those of {path.name}.",
        "known_limits": "Not told: the recipe is another's.",
        "examples": sorted(dict.fromkeys(texts), key=lambda text: (len(text) > 100, texts.index(text)))[:3],
    }
    return own.model_copy(update=told)


def sentence_pairs(corpus: str, split: Split, data: TranslationData) -> list[SentencePair]:
    """The rows of one corpus of a translation recipe, with every reference they have. Raises CorpusError."""
    source, target = data.source, data.target
    header, *rows = split_of(corpus, split, data.columns)
    if corpus not in CORPORA:
        header = [source, target]
    for language in (source, target):
        if language not in header:
            raise CorpusError(f"{corpus} has the languages {header}, not {language!r}")
    source_column, target_column = header.index(source), header.index(target)
    more_column = header.index(f"more_{target}") if f"more_{target}" in header else None

    def pairs() -> Iterator[SentencePair]:
        for row in rows:
            more = row[more_column].split(" ||| ") if more_column is not None and row[more_column] else []
            yield SentencePair(row[source_column], row[target_column], (row[target_column], *more))

    return list(pairs())
