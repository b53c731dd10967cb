"""Formats of documents: the extension of a file name -> the reader of its content."""

import importlib
from collections.abc import Callable
from pathlib import PurePath
from typing import cast

from service.documents.document import Document
from service.errors import NotAvailable, UnsupportedFormat, excerpt

READERS = {
    **dict.fromkeys(("txt", "text"), "plain:read"),
    **dict.fromkeys(("md", "markdown"), "markdown:read"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html:read"),
    **dict.fromkeys(("srt", "vtt"), "subtitles:read"),
    **dict.fromkeys(("ass", "ssa"), "subtitles:read_ass"),
    **dict.fromkeys(("po", "pot"), "gettext:read"),
    **dict.fromkeys(("xliff", "xlf"), "xliff:read"),
    **dict.fromkeys(("json", "arb"), "json:read"),
    **dict.fromkeys(("yaml", "yml"), "yaml:read"),
    **dict.fromkeys(("csv", "tsv"), "csv:read"),
    "ts": "qt:read",
    "properties": "properties:read",
    "strings": "strings:read",
    "xml": "android:read",
    "resx": "resx:read",
    **dict.fromkeys(("docx", "docm", "dotx", "dotm"), "word:read"),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "ppsm", "potx", "potm"), "slides:read"),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xltm"), "sheets:read"),
    **dict.fromkeys(("odt", "odp", "ods", "odg", "ott", "otp", "ots", "otg"), "opendocument:read"),
    **dict.fromkeys(("fodt", "fodp", "fods", "fodg"), "opendocument:read_part"),
    "epub": "epub:read",
}
"""Extension -> module and function."""


def extension_of(name: str) -> str:
    """The extension of a file name in lower case. Raises UnsupportedFormat if no reader has it."""
    extension = PurePath(name.replace("\\", "/")).suffix.removeprefix(".").lower()
    if extension not in READERS:
        known = ", ".join(READERS)
        raise UnsupportedFormat(f"{excerpt(extension or name)} files are not supported; supported are {known}")
    return extension


def open_document(name: str, content: bytes) -> Document:
    """Read a document by its file name.

    Raises UnsupportedFormat, InvalidInput if the content is not of this format, PayloadTooLarge if it is too large when
    unpacked, and NotAvailable without the extra `documents`.
    """
    extension = extension_of(name)
    module, function = READERS[extension].split(":")
    try:
        loaded = importlib.import_module(f"service.documents.{module}")
    except ImportError as error:
        message = f"{extension} files need the extra `documents`: pip install 'limelight[documents]'"
        raise NotAvailable(f"{message} ({error.name} is missing)") from None
    reader = cast(Callable[[bytes], Document], getattr(loaded, function))
    return reader(content)
