"""Translations without a translator: letters become capitals; tags, entities and placeholders stay."""

import re

from service.documents.document import Document
from service.documents.formats import open_document

KEPT = re.compile(r"(<[^<>]*>|&\w+;|%\w|\{[^{}]*\}|\\n)|([^\W\d_]+)")


def capitals(text: str) -> str:
    return KEPT.sub(lambda match: match[1] or match[2].upper(), text)


def texts_of(document: Document) -> list[str]:
    return [segment.text for segment in document.segments]


def read(name: str, content: str | bytes) -> Document:
    return open_document(name, content.encode() if isinstance(content, str) else content)


def in_capitals(name: str, content: str | bytes) -> str:
    """The document with its texts in capitals."""
    return capitals_of(name, content).decode()


def capitals_of(name: str, content: str | bytes) -> bytes:
    document = read(name, content)
    return document.write([capitals(text) for text in texts_of(document)])


def unchanged(name: str, content: str | bytes) -> bytes:
    """The document with each text as its own translation."""
    document = read(name, content)
    return document.write(texts_of(document))
