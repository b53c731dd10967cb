"""Replacements and insertions in a text, applied together, with the new offsets of its old spans."""

from collections.abc import Callable

from service.text.mapped import Span

END_MARKS = ".,;:!?\u2026 \u00a0\u202f"
"""Marks at the end of a sentence, and the spaces around them."""


class TextEdits:
    """Insertions into a text and replacements, applied together."""

    def __init__(self, text: str, escape: Callable[[str], str]):
        """escape: applied to the characters that stay; what is inserted is taken as it is."""
        self._text = text
        self._escape = escape
        self._before: dict[int, list[str]] = {}
        self._after: dict[int, list[str]] = {}
        self._replaced: dict[Span, str] = {}
        self._end: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.result = ""

    def insert_before(self, place: int, raw: str) -> None:
        """Insert before the character at a place. At the end of the text this is `insert_after`."""
        if place < len(self._text):
            self._before.setdefault(place, []).append(raw)
        else:
            self.insert_after(place, raw)

    def insert_after(self, place: int, raw: str) -> None:
        """Insert behind the character before a place."""
        self._after.setdefault(place, []).append(raw)

    def replace(self, span: Span, raw: str) -> None:
        self._replaced[span] = raw

    def drop(self, span: Span) -> None:
        """Remove a span and one white space before it."""
        start, end = span
        self._replaced[(start - 1 if start and self._text[start - 1].isspace() else start, end)] = ""

    def overlaps(self, span: Span) -> bool:
        """True if a replacement overlaps the span."""
        return any(start < span[1] and end > span[0] for start, end in self._replaced)

    def append(self, raw: str) -> None:
        """Insert at the end of the text, before its final punctuation."""
        self._end.append(raw)

    def apply(self) -> str:
        """Make the changes. Sets and returns `result`."""
        replaced = {start: (end, raw) for (start, end), raw in self._replaced.items()}
        last = len(self._text.rstrip(END_MARKS))
        written: list[str] = []
        length = position = 0

        def write(raw: str) -> None:
            nonlocal length
            written.append(raw)
            length += len(raw)

        def write_insertions(place: int) -> None:
            for raw in self._after.get(place, []):
                write(raw)
            if place == last:
                for raw in self._end:
                    write(f" {raw}" if length else raw)
            for raw in self._before.get(place, []):
                write(raw)

        write_insertions(0)
        while position < len(self._text):
            end, raw = replaced.get(position, (position + 1, self._escape(self._text[position])))
            start = length
            write(raw)
            self._starts += [start] * (end - position)
            self._ends += [length] * (end - position)
            for place in range(position + 1, end + 1):
                write_insertions(place)
            position = end
        self.result = "".join(written)
        return self.result

    def span(self, start: int, end: int) -> Span:
        """The span of text[start:end] in the result."""
        if start == end:
            place = self._starts[start] if start < len(self._starts) else len(self.result)
            return place, place
        return self._starts[start], self._ends[end - 1]
