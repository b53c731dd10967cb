"""The user's own files: their place, and running text."""

from pathlib import Path

from training.corpora.catalogue import BOOKS, CORPORA
from training.corpora.corpus import CorpusError, data_folder
from training.corpora.tables import decode, invalid, read_bytes

LEAST_CHARACTERS = 1_000
"""Minimum length of a running text."""


def read_text(path: Path) -> str:
    """Read a running text in UTF-8, plain or gzipped. Raises CorpusError with the line number of invalid text."""
    text = decode(read_bytes(path)).replace("\r\n", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if (reason := invalid(line)) is not None:
            raise CorpusError(f"{path}, line {number}: {reason}")
    if len(text) < LEAST_CHARACTERS:
        raise CorpusError(f"{path} has {len(text)} characters; at least {LEAST_CHARACTERS:,} are needed")
    return text


def own_file(corpus: str) -> Path:
    """Find a user's file or `datasets` folder, in the current folder or in the data folder. Raises CorpusError."""
    path = next((path for path in (Path(corpus), data_folder() / corpus) if path.exists()), None)
    if path is None:
        known = ", ".join(sorted([*CORPORA, *BOOKS]))
        raise CorpusError(f"{corpus!r} is neither a file nor a known corpus ({known})")
    return path
