"""Files of the data folder: download, checksums, unpacking."""

import csv
import gzip
import hashlib
import io
import urllib.error
import urllib.request
from pathlib import Path

from training.corpora.corpus import Book, Corpus, CorpusError, Split, Table, clean, data_folder


def download(url: str) -> bytes:
    """Download a URL. Raises CorpusError with the URL."""
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            content: bytes = response.read()
            return content
    except (urllib.error.URLError, TimeoutError) as error:
        raise CorpusError(f"cannot download {url}: {error}") from None


def prepare_sms_spam(corpus: Corpus) -> dict[Split, Table]:
    """The first two columns of the CSV, in file order: 5,000 training rows, then the test rows."""
    content = download(f"{corpus.base_url}/spam.csv").decode("latin-1")
    rows = [[clean(field) for field in row[:2]] for row in csv.reader(io.StringIO(content))][1:]
    header = ["label", "text"]
    return {"train": [header, *rows[:5000]], "test": [header, *rows[5000:]]}


def prepare_multi30k(corpus: Corpus) -> dict[Split, Table]:
    """One file per language. Lines of equal number are translations."""
    languages = ["en", "de", "fr", "cs"]
    names: dict[Split, str] = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    tables: dict[Split, Table] = {}
    for split, name in names.items():
        packed = [download(f"{corpus.base_url}/{name}.{language}.gz") for language in languages]
        columns = [[clean(line) for line in gzip.decompress(p).decode().removesuffix("\n").split("\n")] for p in packed]
        tables[split] = [languages, *([*row] for row in zip(*columns, strict=True))]
    return tables


def read_book(book: Book) -> str:
    """Read a running text. It is downloaded if it is not in the data folder. Raises CorpusError."""
    path = data_folder() / book.file
    if not path.is_file():
        text = book.lacks.encode() + download(book.url)
        if (actual := hashlib.sha256(text).hexdigest()) != book.sha256:
            raise CorpusError(f"{book.url} has sha256 {actual}, expected {book.sha256}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text, 9, mtime=0))
    return unpack(path, book.sha256)


def fetch(corpus: Corpus) -> None:
    """Download a corpus into the data folder. Raises CorpusError; nothing is written if a checksum is wrong."""
    if corpus.prepare is None:
        raise CorpusError(
            f"{corpus.folder} is not in {data_folder()} (LIMELIGHT_DATA), and its split cannot be derived from its "
            f"origin ({corpus.origin}). Put the files there, or train on your own file with --data my.tsv."
        )
    packed = {}
    for split, table in corpus.prepare(corpus).items():
        text = "".join("\t".join(row) + "\n" for row in table).encode()
        [(name, expected)] = corpus.files[split]
        if (actual := hashlib.sha256(text).hexdigest()) != expected:
            raise CorpusError(f"{corpus.folder}/{name} as downloaded has sha256 {actual}, expected {expected}")
        packed[name] = gzip.compress(text, 9, mtime=0)
    folder = data_folder() / corpus.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in packed.items():
        (folder / name).write_bytes(content)


def read_table(corpus: Corpus, split: Split) -> Table | None:
    """Read a split of a named corpus, with its header. None if the corpus lacks the split. Raises CorpusError."""
    table: Table = []
    for file in corpus.files.get(split, []):
        path = data_folder() / corpus.folder / file.name
        if not path.is_file():
            fetch(corpus)
        rows = [line.split("\t") for line in unpack(path, file.sha256).removesuffix("\n").split("\n")]
        table += rows[1:] if table else rows
    return table or None


def unpack(path: Path, expected: str) -> str:
    """Unpack a gzipped file and compare its checksum. Raises CorpusError."""
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: {error}") from None
    if (actual := hashlib.sha256(text).hexdigest()) != expected:
        raise CorpusError(f"{path} is not the file of the catalogue: sha256 {actual}, expected {expected}")
    return text.decode()


def is_present(corpus: Corpus) -> bool:
    """True if all files of a corpus with rows are in the data folder."""
    return all(
        (data_folder() / corpus.folder / file.name).is_file() for files in corpus.files.values() for file in files
    )


def read_unlabelled(corpus: Corpus) -> list[str]:
    """Raises CorpusError if the file is missing or its checksum is wrong."""
    if corpus.unlabelled is None:
        return []
    path = data_folder() / corpus.folder / corpus.unlabelled.name
    return unpack(path, corpus.unlabelled.sha256).removesuffix("\n").split("\n")
