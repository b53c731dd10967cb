"""Forms -> fields: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).

A repeated field is a list. Empty fields are left out, except those that a caller names.
"""

import re
from dataclasses import dataclass
from email.message import Message
from urllib.parse import unquote, unquote_to_bytes

from service.batching import budget
from service.errors import InvalidInput, excerpt

Fields = dict[str, str | list[str]]

MAX_FIELDS = 10_000
"""Maximum fields of a form, repeated ones included."""
MAX_CONTENT_TYPE = 1_000
DECODED_AT_ONCE = 10_000
"""Bytes between two checks of the time budget."""

DISPOSITION = re.compile(r'(?i)\bname=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
FILE = re.compile(r"(?i)\bfilename\*?=")
FILE_NAME = re.compile(r"""(?i)\bfilename(?:\*=(?:utf-8)?''([^\s;"]+)|=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+)))""")


@dataclass(frozen=True)
class Part:
    """A part of a multipart form: a field or a file."""

    name: str
    head: str
    """The headers."""
    content: bytes

    @property
    def file_name(self) -> str | None:
        """The name of a file; None for a field."""
        found = {bool(match[1]): match for match in FILE_NAME.finditer(self.head)}
        match = found.get(True) or found.get(False)  # the encoded name is the better one
        if match is None:
            return None
        return unquote(match[1]) if match[1] else re.sub(r"\\(.)", r"\1", match[2] or match[3] or "")


def parse_urlencoded(body: bytes) -> list[tuple[str, str]]:
    """Raises InvalidInput if there are too many fields or one is not UTF-8."""
    if body.count(b"&") >= MAX_FIELDS:
        raise InvalidInput(f"the form has more than {MAX_FIELDS} fields")
    fields = []
    for pair in body.split(b"&"):
        budget.check()
        name, equals, value = pair.partition(b"=")
        if equals:
            fields.append((_unquoted(name), _unquoted(value)))
    return fields


def _unquoted(value: bytes) -> str:
    """Decode `+` and `%xx`, in pieces that end before a `%`."""
    value = value.replace(b"+", b" ")
    decoded, start = b"", 0
    while start < len(value):
        budget.check()
        end = value.find(b"%", start + DECODED_AT_ONCE)
        piece = value[start:] if end < 0 else value[start:end]
        decoded += unquote_to_bytes(piece) if b"%" in piece else piece
        start += len(piece)
    return _text(decoded)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the form is not valid: {error.reason} at byte {error.start} of a field") from None


def parse_multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """The fields of a multipart form; files are left out. Raises InvalidInput."""
    parts = parse_parts(body, content_type)
    return [(part.name, _text(part.content)) for part in parts if not FILE.search(part.head)]


def parse_parts(body: bytes, content_type: str) -> list[Part]:
    """The parts of a multipart form. Raises InvalidInput."""
    if len(content_type) > MAX_CONTENT_TYPE:  # its parser takes quadratic time
        raise InvalidInput(f"the media type has more than {MAX_CONTENT_TYPE} characters")
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise InvalidInput("the form is not valid: the media type has no boundary")
    delimiter = b"\r\n--" + boundary.encode()
    if body.count(delimiter) > MAX_FIELDS:
        raise InvalidInput(f"the form has more than {MAX_FIELDS} fields")
    _preamble, *parts = (b"\r\n" + body).split(delimiter)
    if not parts or not parts[-1].startswith(b"--"):
        raise InvalidInput("the form is not valid: its last boundary is missing")
    found = []
    for part in parts[:-1]:
        budget.check()
        head, separator, value = part.partition(b"\r\n\r\n")
        disposition = _text(head)
        match = DISPOSITION.search(disposition)
        if not separator or match is None:
            raise InvalidInput(f"the form is not valid: a part has no name: {excerpt(disposition.strip())}")
        found.append(Part(match[1] or match[2] or "", disposition, value))
    return found


def as_fields(pairs: list[tuple[str, str]], keep_empty: frozenset[str]) -> Fields:
    """Name -> value, or values of a repeated field. Empty values are left out unless the field is in `keep_empty`."""
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if value or name in keep_empty:
            fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
