"""Glossaries that callers store. Each has a random id, a display name and an owner.

Their terms are stored glossaries (`registry/glossaries.py`), named by id. A file `<id>.json` beside them has the rest.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from service.errors import GlossaryNotFound, InvalidInput, NotAvailable, excerpt
from service.registry.glossaries import Glossaries, Pair
from service.translation.glossary import Terms

MAX_OWNED = 50
"""Maximum glossaries of a caller."""
MAX_NAME = 1_000
"""Maximum characters of a name."""


@dataclass(frozen=True)
class Label:
    """The content of `<id>.json`."""

    name: str
    owner: str
    """Name of the API key; empty if no keys are needed."""
    created: str
    """Time in the form of ISO 8601."""


@dataclass(frozen=True)
class CallerGlossary:
    id: str
    label: Label
    dictionaries: Mapping[Pair, Terms]


class CallerGlossaries:
    """The glossaries of callers. Methods read and write files: call them in a thread."""

    def __init__(self, folder: Path, glossaries: Glossaries):
        self._folder = folder
        self._glossaries = glossaries

    def list(self, owner: str) -> list[CallerGlossary]:
        """The glossaries of a caller, the oldest first."""
        found = [self._read(path.stem) for path in self._folder.glob("*.json")] if self._folder.is_dir() else []
        owned = [glossary for glossary in found if glossary is not None and glossary.label.owner == owner]
        return sorted(owned, key=lambda glossary: (glossary.label.created, glossary.id))

    def get(self, id: str, owner: str) -> CallerGlossary:
        """Raises GlossaryNotFound if there is none or it is another caller's."""
        found = self._read(id)
        if found is None or found.label.owner != owner:
            raise GlossaryNotFound(f"there is no glossary {excerpt(id)!r}")
        return found

    def create(self, owner: str, name: str, dictionaries: Mapping[Pair, Terms]) -> CallerGlossary:
        """Store a glossary under a new id. Raises InvalidInput or NotAvailable."""
        if len(self.list(owner)) >= MAX_OWNED:
            raise InvalidInput(f"there are {MAX_OWNED} glossaries already; remove one first")
        if not dictionaries:
            raise InvalidInput("the glossary has no dictionary")
        id = str(uuid.uuid4())
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        self._write(id, Label(_checked(name), owner, now))
        try:
            for pair, terms in dictionaries.items():
                self._glossaries.add(id, terms, pair)
        except InvalidInput:
            self._delete(id)
            raise
        return self.get(id, owner)

    def rename(self, id: str, owner: str, name: str) -> None:
        """Raises GlossaryNotFound, InvalidInput or NotAvailable."""
        label = self.get(id, owner).label
        self._write(id, Label(_checked(name), owner, label.created))

    def put(self, id: str, owner: str, pair: Pair, terms: Terms) -> None:
        """Store the terms for a pair instead of those that the glossary has for it."""
        self.get(id, owner)
        self._glossaries.add(id, terms, pair)

    def remove(self, id: str, owner: str, pair: Pair | None = None) -> None:
        """Remove a glossary, or its terms for a pair. Raises GlossaryNotFound."""
        found = self.get(id, owner)
        if pair is not None and pair not in found.dictionaries:
            raise GlossaryNotFound(f"the glossary has no terms for {excerpt('-'.join(pair))}")
        if pair is not None and len(found.dictionaries) > 1:
            self._glossaries.remove(id, pair)
        else:
            self._delete(id)

    def _delete(self, id: str) -> None:
        (self._folder / f"{id}.json").unlink(missing_ok=True)
        try:
            self._glossaries.remove(id)
        except GlossaryNotFound:
            pass  # no dictionary has been stored

    def _read(self, id: str) -> CallerGlossary | None:
        try:
            # A random id has one form, so that it cannot name another file.
            content = json.loads((self._folder / f"{uuid.UUID(id)}.json").read_text(encoding="utf-8"))
            stored = self._glossaries.get(str(uuid.UUID(id)))
            dictionaries = {pair: terms for pair, terms in stored.dictionaries.items() if pair is not None}
            return CallerGlossary(stored.name, Label(**content), dictionaries)
        except (OSError, ValueError, TypeError, GlossaryNotFound):
            return None

    def _write(self, id: str, label: Label) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{id}.json").write_text(json.dumps(asdict(label)), encoding="utf-8")
        except OSError as error:
            raise NotAvailable(f"glossaries cannot be stored: {error.strerror}") from None


def _checked(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidInput(f"the name of a glossary has 1 to {MAX_NAME} characters")
    return name
