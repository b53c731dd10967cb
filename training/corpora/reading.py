"""Reads the rows of a recipe's data by split."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from training.corpora.catalogue import BOOKS, CORPORA
from training.corpora.columns import read_rows
from training.corpora.corpus import CorpusError, LabelledText, SentencePair, Split, Table
from training.corpora.download import read_book, read_table, read_unlabelled
from training.corpora.own_files import own_file, read_text
from training.recipe import ClassificationData, TextData, TranslationData

LEAST_TEXTS = 20
"""Minimum number of different texts in a user's file."""


def running_text(data: TextData, split: Split) -> str:
    """Read the text of a split: of each corpus eight tenths, the ninth or the last tenth. Raises CorpusError."""
    bounds: dict[Split, tuple[float, float]] = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
    low, high = bounds[split]
    texts = [read_book(BOOKS[corpus]) if corpus in BOOKS else read_text(own_file(corpus)) for corpus in data.corpora]
    return "".join(text[round(low * len(text)) : round(high * len(text))] for text in texts)


def held_out(row: list[str]) -> float:
    """Return a number in [0, 1) that decides the split of a row. It depends on the content of the row only."""
    return int.from_bytes(hashlib.sha256("\t".join(row).encode()).digest()[:8], "big") / 2**64


def user_split(table: Table, split: Split, key: int, by_label: bool) -> Table:
    """Return the rows of a split of a user's file: a tenth each for test and validation, the rest for training.

    Rows with the same text in column `key` are in the same split. With `by_label`, a label without training rows has
    all its rows in the training split. Raises CorpusError if the file has too few rows.
    """
    placed = [(held_out([" ".join(row[key].lower().split())]), row) for row in table[1:]]
    if (texts := len({place for place, _ in placed})) < LEAST_TEXTS:
        raise CorpusError(f"too few rows: the file has {texts} different texts, and at least {LEAST_TEXTS} are needed")
    if by_label:
        trained = {row[0] for place, row in placed if place >= 0.2}
        placed = [(place if row[0] in trained else 1.0, row) for place, row in placed]
    splits: dict[Split, Table] = {"test": [], "valid": [], "train": []}
    for place, row in placed:
        splits["test" if place < 0.1 else "valid" if place < 0.2 else "train"].append(row)
    if not splits["test"] or not splits["valid"]:  # by chance, in a file of a few dozen rows
        raise CorpusError(f"too few rows: of the {len(placed)} rows none is held out for validation or for the test")
    return [table[0], *splits[split]]


def split_of(corpus: str, split: Split, data: ClassificationData | TranslationData) -> Table:
    """Read a split of a named corpus or of a file. A corpus without `valid` uses a tenth of its `train`."""
    if corpus not in CORPORA:
        labelled = isinstance(data, ClassificationData)
        languages = () if isinstance(data, ClassificationData) else (data.source, data.target)
        rows = read_rows(own_file(corpus), data.columns, data.skip_bad_rows, languages)
        try:
            return user_split(rows, split, int(labelled), labelled)
        except CorpusError as error:
            raise CorpusError(f"{corpus}: {error}") from None
    if "valid" not in CORPORA[corpus].files and split != "test":
        table = read_table(CORPORA[corpus], "train")
        assert table is not None
        return [table[0], *(row for row in table[1:] if (held_out(row) < 0.1) == (split == "valid"))]
    table = read_table(CORPORA[corpus], split)
    if table is None:
        raise CorpusError(f"{corpus} has no {split} split")
    return table


def labelled_texts(data: ClassificationData, split: Split) -> list[LabelledText]:
    """Read the rows of a classification recipe. Raises CorpusError, also for a training split with a single label."""
    rows = [LabelledText(*row) for corpus in data.corpora for row in split_of(corpus, split, data)[1:]]
    if data.labels is not None:
        rows = [LabelledText(data.labels[row.label], row.text) for row in rows if row.label in data.labels]
    if split == "train" and len(counts := Counter(row.label for row in rows)) < 2:
        raise CorpusError(f"a classifier needs two labels or more; the data has only {list(counts)}")
    if split == "train" and data.rows is not None:  # by their hashes: a file may be sorted by label
        rows = sorted(rows, key=lambda row: held_out([row.label, row.text]))[: data.rows]
    return rows


def label_counts(data: ClassificationData) -> dict[str, int]:
    """Label -> number of training texts, sorted by label. Raises CorpusError."""
    return dict(sorted(Counter(row.label for row in labelled_texts(data, "train")).items()))


def unlabelled_texts(data: ClassificationData) -> list[str]:
    """Read the unlabelled texts of the corpora."""
    return [text for corpus in data.corpora if corpus in CORPORA for text in read_unlabelled(CORPORA[corpus])]


def sentence_pairs(corpus: str, split: Split, data: TranslationData) -> list[SentencePair]:
    """Read the rows of one corpus of a translation recipe, with all references. Raises CorpusError."""
    source, target = data.source, data.target
    header, *rows = split_of(corpus, split, data)
    if corpus not in CORPORA:
        header = [source, target]
    for language in (source, target):
        if language not in header:
            raise CorpusError(f"{corpus} has the languages {header}, not {language!r}")
    source_column, target_column = header.index(source), header.index(target)
    more_column = header.index(f"more_{target}") if f"more_{target}" in header else None
    domain_column = header.index("domain") if "domain" in header else None

    def pairs() -> Iterator[SentencePair]:
        for row in rows:
            more = row[more_column].split(" ||| ") if more_column is not None and row[more_column] else []
            domain = corpus if domain_column is None else row[domain_column]
            yield SentencePair(row[source_column], row[target_column], (row[target_column], *more), domain)

    return list(pairs())
