"""Stored translation memories: the TMX files in the folder of glossaries, read again when one changes."""

import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from service.errors import InvalidInput, MemoryNotFound, NotAvailable, excerpt
from service.registry.glossaries import MAX_GLOSSARIES, NAME, Pair
from service.registry.tmx import Unit, read_tmx
from service.translation.memory import TranslationMemory

log = logging.getLogger(__name__)

FILE = re.compile(rf"({NAME.pattern})\.tmx")
MAX_FILE_BYTES = 50_000_000


@dataclass(frozen=True)
class StoredMemory:
    """A memory of the folder."""

    name: str
    units: Sequence[Unit]

    def sizes(self) -> dict[Pair, int]:
        """The number of units for each language pair."""
        return dict(Counter(pair for unit in self.units for pair in permutations(unit, 2)))


class Memories:
    """The memories of a folder, which need not exist. Methods may be called from any thread; they read files."""

    def __init__(self, folder: Path | None):
        """folder: None if memories cannot be stored."""
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}
        """Time and size of each file at its last reading."""
        self._memories: dict[str, StoredMemory] = {}
        """Memories by file name."""
        self._compiled: dict[tuple[str, str, str], TranslationMemory] = {}
        self.refused: dict[str, str] = {}
        """Files that cannot be read, with the reason."""

    def list(self) -> list[StoredMemory]:
        """All memories, by name."""
        with self._lock:
            self._refresh()
            return [memory for _, memory in sorted(self._memories.items())]

    def get(self, name: str) -> StoredMemory:
        """Raises MemoryNotFound."""
        with self._lock:
            self._refresh()
            return self._get(name)

    def compiled(self, name: str, source: str, target: str) -> TranslationMemory:
        """The units of a memory for a language pair; the last of several with one source. Raises MemoryNotFound."""
        with self._lock:
            self._refresh()
            found = self._get(name)
            key = (name, source, target)
            if key not in self._compiled:
                units = {unit[source]: unit[target] for unit in found.units if source in unit and target in unit}
                self._compiled[key] = TranslationMemory(units)
            return self._compiled[key]

    def add(self, name: str, content: bytes) -> StoredMemory:
        """Write a TMX file instead of the memory with this name. Raises InvalidInput or NotAvailable."""
        if NAME.fullmatch(name) is None:
            raise InvalidInput(f"{excerpt(name)!r} is not a name of up to 100 letters, digits, - and _")
        if not read_tmx(content):
            raise InvalidInput("the memory has no unit with two languages")
        folder = self._writable()
        if len(self.list()) >= MAX_GLOSSARIES and f"{name}.tmx" not in self._memories:
            raise InvalidInput(f"there are {MAX_GLOSSARIES} memories already")
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{name}.tmx.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(folder / f"{name}.tmx")
        return self.get(name)

    def load(self, path: Path) -> str:
        """Read a TMX file, which need not be in the folder, and return its name. A stored memory of this name is not
        used. Raises InvalidInput or NotAvailable."""
        units = read_tmx(path.read_bytes())
        with self._lock:
            self._refresh()
            self._forget(f"{path.stem}.tmx")
            self._memories[f"{path.stem}.tmx"] = StoredMemory(path.stem, units)
        return path.stem

    def remove(self, name: str) -> None:
        """Delete the file of a memory. Raises MemoryNotFound or InvalidInput."""
        self.get(name)
        (self._writable() / f"{name}.tmx").unlink(missing_ok=True)

    def _get(self, name: str) -> StoredMemory:
        found = self._memories.get(f"{name}.tmx")
        if found is None:
            raise MemoryNotFound(f"there is no memory {excerpt(name)!r}; GET /memories lists them")
        return found

    def _writable(self) -> Path:
        if self._folder is None:
            raise InvalidInput("the service has no folder for memories")
        return self._folder

    def _refresh(self) -> None:
        """Read the files that are new or changed, and forget those that are gone."""
        if self._folder is None:
            return
        seen = _files(self._folder)
        if seen == self._seen:
            return
        for file_name in self._seen.keys() - seen.keys():
            self._forget(file_name)
        for file_name, state in seen.items():
            if self._seen.get(file_name) != state:
                self._forget(file_name)
                self._read(self._folder / file_name, size=state[1])
        self._seen = seen

    def _forget(self, file_name: str) -> None:
        self._memories.pop(file_name, None)
        self.refused.pop(file_name, None)
        name = file_name.removesuffix(".tmx")
        self._compiled = {key: memory for key, memory in self._compiled.items() if key[0] != name}

    def _read(self, path: Path, size: int) -> None:
        try:
            if size > MAX_FILE_BYTES:
                raise InvalidInput(f"it is larger than {MAX_FILE_BYTES} bytes")
            units = read_tmx(path.read_bytes())
        except (InvalidInput, NotAvailable, OSError) as error:
            self.refused[path.name] = str(error)
            log.error("refused the memory %s: %s", path.name, error)
        else:
            self._memories[path.name] = StoredMemory(path.stem, units)


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Time and size of the TMX files of a folder."""
    try:
        with os.scandir(folder) as entries:
            found = [(e.name, e.stat()) for e in entries if FILE.fullmatch(e.name) and e.is_file(follow_symlinks=True)]
    except OSError:
        return {}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in found}
