"""Stored glossaries: a folder of TSV, CSV and TBX files, read again when it changes.

<name>.tsv              terms for every language pair
<name>.en-fr.tsv        terms for one pair; a glossary can have several such files
<name>.csv              the same with commas, quoted as in RFC 4180
<name>.tbx              TermBase eXchange (ISO 30042): every pair of the languages in it
"""

import csv
import io
import logging
import os
import re
import threading
import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from service.errors import GlossaryNotFound, InvalidInput, excerpt
from service.translation.glossary import MAX_TERMS, Glossary, Terms, check_term

log = logging.getLogger(__name__)

Pair = tuple[str, str]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
FILE = re.compile(rf"({NAME.pattern})(?:\.([a-z]{{2,3}}(?:-[a-zA-Z]+)?)-([a-z]{{2,3}}))?\.(tsv|csv|tbx)")
MAX_FILE_BYTES = 10_000_000
MAX_GLOSSARIES = 1_000


@dataclass(frozen=True)
class StoredGlossary:
    """A glossary of the folder."""

    name: str
    dictionaries: Mapping[Pair | None, Terms]
    """Terms by language pair; None: for every pair."""

    def terms(self, source: str, target: str) -> Terms:
        """The terms for a language pair, those for every pair included."""
        return {**self.dictionaries.get(None, {}), **self.dictionaries.get((source, target), {})}


class Glossaries:
    """The glossaries of a folder, which need not exist. Methods may be called from any thread."""

    def __init__(self, folder: Path | None):
        """folder: None if glossaries cannot be stored."""
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: frozenset[tuple[str, int, int]] | None = None
        """Name, time and size of each file at the last reading."""
        self._glossaries: dict[str, StoredGlossary] = {}
        self._compiled: dict[tuple[str, str, str], Glossary] = {}
        self.refused: dict[str, str] = {}
        """Files that cannot be read, with the reason."""

    def list(self) -> list[StoredGlossary]:
        """All glossaries, by name."""
        self._refresh()
        return [glossary for _, glossary in sorted(self._glossaries.items())]

    def get(self, name: str) -> StoredGlossary:
        """Raises GlossaryNotFound."""
        self._refresh()
        if name not in self._glossaries:
            raise GlossaryNotFound(f"there is no glossary {excerpt(name)!r}; GET /glossaries lists them")
        return self._glossaries[name]

    def compiled(self, name: str, source: str, target: str) -> Glossary:
        """The terms of a glossary for a language pair, ready to be found. Raises GlossaryNotFound."""
        found = self.get(name)
        with self._lock:
            key = (name, source, target)
            if key not in self._compiled:
                self._compiled[key] = Glossary(found.terms(source, target), source)
            return self._compiled[key]

    def add(self, name: str, terms: Terms, pair: Pair | None = None) -> StoredGlossary:
        """Write the terms of a glossary for a pair, or for every pair. It replaces those that it had for it.

        Raises InvalidInput.
        """
        if NAME.fullmatch(name) is None:
            raise InvalidInput(f"{excerpt(name)!r} is not a name of up to 100 letters, digits, - and _")
        checked = {check_term(source): check_term(target) for source, target in terms.items()}
        if not checked:
            raise InvalidInput("the glossary has no terms")
        if len(checked) > MAX_TERMS:
            raise InvalidInput(f"the glossary has {len(checked)} terms; the limit is {MAX_TERMS}")
        stem = name if pair is None else f"{name}.{pair[0]}-{pair[1]}"
        if FILE.fullmatch(f"{stem}.tsv") is None:
            raise InvalidInput(f"{excerpt(pair)} is not a pair of language codes")
        folder = self._writable()
        if len(self._glossaries) >= MAX_GLOSSARIES and name not in self._glossaries:
            raise InvalidInput(f"there are {MAX_GLOSSARIES} glossaries already")
        folder.mkdir(parents=True, exist_ok=True)
        for extension in ("csv", "tsv"):
            (folder / f"{stem}.{extension}").unlink(missing_ok=True)
        unfinished = folder / f".{stem}.{os.getpid()}"
        unfinished.write_text(as_tsv(checked), encoding="utf-8")
        unfinished.replace(folder / f"{stem}.tsv")
        return self.get(name)

    def remove(self, name: str, pair: Pair | None = None) -> None:
        """Delete the files of a glossary; with a pair only those for it. Raises GlossaryNotFound or InvalidInput."""
        self.get(name)
        for file in self._writable().iterdir():
            match = FILE.fullmatch(file.name)
            if match and match[1] == name and (pair is None or (match[2], match[3]) == pair):
                file.unlink(missing_ok=True)

    def _writable(self) -> Path:
        if self._folder is None:
            raise InvalidInput("the service has no folder for glossaries")
        return self._folder

    def _refresh(self) -> None:
        """Read the folder again if a file has changed."""
        if self._folder is None:
            return
        with self._lock:
            seen = frozenset(_files(self._folder))
            if seen == self._seen:
                return
            found: dict[str, dict[Pair | None, Terms]] = {}
            self.refused = {}
            for file_name, *_ in sorted(seen):
                match = FILE.fullmatch(file_name)
                assert match is not None
                try:
                    dictionaries = read_file(self._folder / file_name, (match[2], match[3]) if match[2] else None)
                    for terms in dictionaries.values():
                        Glossary(terms, "")
                except (InvalidInput, OSError, UnicodeDecodeError, csv.Error, xml.parsers.expat.ExpatError) as error:
                    self.refused[file_name] = str(error)
                    log.error("refused the glossary %s: %s", file_name, error)
                    continue
                found.setdefault(match[1], {}).update(dictionaries)
            self._glossaries = {name: StoredGlossary(name, found[name]) for name in found}
            self._compiled = {}
            self._seen = seen


def _files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of the glossary files of a folder."""
    try:
        with os.scandir(folder) as entries:
            found = [(e.name, e.stat()) for e in entries if FILE.fullmatch(e.name) and e.is_file(follow_symlinks=True)]
    except OSError:
        return []
    return [(name, status.st_mtime_ns, status.st_size) for name, status in found]


def read_file(path: Path, pair: Pair | None) -> dict[Pair | None, Terms]:
    """The terms of a file by language pair. Raises InvalidInput, OSError, csv.Error, UnicodeDecodeError or
    ExpatError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"it is larger than {MAX_FILE_BYTES} bytes")
    if path.suffix == ".tbx":
        return read_tbx(path.read_bytes())
    text = path.read_text(encoding="utf-8-sig")
    return {pair: parse_terms(text, "," if path.suffix == ".csv" else "\t")}


def parse_terms(text: str, delimiter: str) -> dict[str, str]:
    """Lines of a source and a target term -> a map. Raises InvalidInput or csv.Error."""
    terms: dict[str, str] = {}
    lines = io.StringIO(text, newline="")
    if delimiter == "\t":
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < 2:
            raise InvalidInput(f"line {rows.line_num} is not a source and a target term: {excerpt(row[0])!r}")
        terms[check_term(row[0])] = check_term(row[1])
    return terms


def as_tsv(terms: Terms) -> str:
    """One line for each term."""
    return "".join(f"{source}\t{target}\n" for source, target in terms.items())


def read_tbx(content: bytes) -> dict[Pair | None, Terms]:
    """The first term of each language in each concept of a TBX file, for every pair. Entities are refused.

    Raises InvalidInput or ExpatError.
    """
    concepts: list[dict[str, str]] = []
    language, text, depth = "", "", 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal language, text, depth
        name = tag.rsplit(":", 1)[-1]
        if name in ("termEntry", "conceptEntry"):
            concepts.append({})
        elif name in ("langSet", "langSec"):
            language = attributes.get("xml:lang", "").lower().split("-")[0]
        elif name == "term":
            text, depth = "", 1

    def characters(data: str) -> None:
        nonlocal text
        if depth:
            text += data

    def end(tag: str) -> None:
        nonlocal depth
        if tag.rsplit(":", 1)[-1] == "term":
            depth = 0
            if concepts and language and text.strip():
                concepts[-1].setdefault(language, check_term(text))

    def refuse(*_: object) -> None:
        raise InvalidInput("it declares an entity")

    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)
    found: dict[Pair | None, dict[str, str]] = {}
    for concept in concepts:
        for source, target in permutations(concept, 2):
            found.setdefault((source, target), {}).setdefault(concept[source], concept[target])
    return dict(found)
