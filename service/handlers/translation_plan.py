"""The plan of a translation: the checked texts of a request and the translators of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.handlers.glossaries import Route
from service.handlers.memories import RequestedMemory
from service.handlers.paragraphs import Part
from service.handlers.schemas import TranslateRequest
from service.markup.attributes import ReplacedText
from service.markup.protect import Format
from service.text.detection import Guess
from service.translation.engine import Options
from service.translation.glossary import Glossary


@dataclass(frozen=True)
class TranslationPlan:
    """A checked request: its texts and the translator of each."""

    request: TranslateRequest
    texts: list[str]
    routes: list[Route]
    """One per text."""
    guesses: list[Guess]
    """The detected language of each text; empty unless the source is `auto`."""
    options: Options
    format: Format
    glossaries: Mapping[Route, Glossary] = field(default_factory=dict)
    """The terms for the texts of each route; empty without a glossary."""
    memories: Mapping[Route, RequestedMemory] = field(default_factory=dict)
    """The translation memory for the texts of each route; empty without a memory."""
    parts: Mapping[int, list[Part]] = field(default_factory=dict)
    """The parts of texts with paragraphs in several languages, by index."""
    part_routes: Mapping[str, Route] = field(default_factory=dict)
    """The translators for the languages of the parts."""
    replaced: Mapping[int, ReplacedText] = field(default_factory=dict)
    """The texts with translated attributes, by index."""
