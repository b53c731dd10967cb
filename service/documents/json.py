"""JSON: the string values. Keys, numbers and the layout stay as they are.

Metadata of ARB files (keys that begin with @) and descriptions in messages.json of browser extensions are no texts.
"""

import json
import re

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.errors import InvalidInput

TOKEN = re.compile(r'"|[{}\[\]:,]|[^\s"{}\[\]:,]++')
DECODER = json.JSONDecoder()
MAX_DEPTH = 200


def read(content: bytes) -> Document:
    """The strings of a JSON document. Raises InvalidInput."""
    file = TextFile.decode(content)
    try:
        whole = json.loads(file.text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the file is not valid JSON: {error}") from None
    skipped = {"description"} if _is_extension(whole) else set()
    escapes = file.text.isascii() and "\\u" in file.text

    def render(translation: str) -> str:
        return json.dumps(translation, ensure_ascii=escapes)

    slots = [
        Slot(start, end, Segment(text), render)
        for keys, text, start, end in strings_in(file.text)
        if not any(key.startswith("@") for key in keys) and not (skipped & set(keys[1:]))
    ]
    return with_slots(file, slots)


def _is_extension(whole: object) -> bool:
    """True if each value is an object with a `message`."""
    return isinstance(whole, dict) and all(isinstance(value, dict) and "message" in value for value in whole.values())


def strings_in(text: str) -> list[tuple[list[str], str, int, int]]:
    """The keys, text, start and end of each string value of a valid document. Raises InvalidInput if it is too deep."""
    found = []
    path: list[str | None] = []
    """The current key of each open object; None for a list."""
    expects_key = False
    position = 0
    while match := TOKEN.search(text, position):
        budget.check()
        position = match.end()
        if match[0] in "{[":
            if len(path) == MAX_DEPTH:
                raise InvalidInput(f"the document is nested more than {MAX_DEPTH} levels deep")
            expects_key = match[0] == "{"
            path.append("" if expects_key else None)
        elif match[0] in "}]":
            path.pop()
            expects_key = False
        elif match[0] == ",":
            expects_key = bool(path) and path[-1] is not None
        elif match[0] == '"':
            value, position = DECODER.raw_decode(text, match.start())
            if expects_key:
                path[-1], expects_key = value, False
            else:
                found.append(([key for key in path if key is not None], value, match.start(), position))
    return found
