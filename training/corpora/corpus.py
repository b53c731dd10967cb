"""Corpora, books and their rows."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Split = Literal["train", "valid", "test"]
Table = list[list[str]]
"""Rows of columns, the header first."""

BREAKS = str.maketrans(dict.fromkeys("\t\r\n\v\f\0\x1c\x1d\x1e\x85\u2028\u2029", " "))


class CorpusError(ValueError):
    """The data cannot be used. The message names the file and the line, if there is one."""


@dataclass(frozen=True)
class LabelledText:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class SentencePair:
    source: str
    target: str
    references: tuple[str, ...]
    """All accepted translations, `target` first."""
    domain: str = ""
    """The value of the column `domain`, or the name of the corpus without one."""


class File(NamedTuple):
    name: str
    sha256: str
    """Checksum of the unpacked text."""


@dataclass(frozen=True)
class Corpus:
    folder: str
    files: dict[Split, list[File]]
    """Files of each split. Every file has the header line."""
    licence: str
    origin: str
    prepare: Callable[["Corpus"], dict[Split, Table]] | None = None
    """Downloads the origin and derives the splits. None if they cannot be derived from it."""
    base_url: str = ""
    unlabelled: File | None = None
    """Texts without labels, one a line."""


@dataclass(frozen=True)
class Book:
    """A running text."""

    file: str
    sha256: str
    """Checksum of the unpacked text."""
    licence: str
    origin: str
    url: str
    lacks: str
    """Text before the first character of the download."""


def data_folder() -> Path:
    return Path(os.environ.get("LIMELIGHT_DATA", "data"))


def clean(text: str) -> str:
    return text.translate(BREAKS).strip()
