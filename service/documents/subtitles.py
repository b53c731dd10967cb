"""Subtitles: SubRip (srt), WebVTT (vtt) and Advanced SubStation Alpha (ass, ssa).

The lines of a cue are one segment. Its translation has as many lines. A line of a dialogue that begins with a dash is a
separate segment. Numbers, times, settings, notes, styles and voices stay as they are.
"""

import re
from collections.abc import Iterator

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

CUE = re.compile(
    r"^[ \t]*+(?:\d++:)?\d\d:\d\d[.,]\d{1,3}[ \t]++-->[^\r\n]*+(?:\r\n|\r|\n)"
    r"(?P<text>(?:(?![ \t]*+[\r\n])[^\r\n]++(?:\r\n|\r|\n|\Z))*+)",
    re.MULTILINE,
)
DIALOGUE = re.compile(r"^Dialogue:(?P<fields>[^\r\n]*+)", re.MULTILINE)
FORMAT = re.compile(r"^\[Events\][^\[]*?^Format:(?P<names>[^\r\n]*+)", re.MULTILINE | re.IGNORECASE)
LINE = re.compile(r"[^\r\n]++")
ASS_BREAK = re.compile(r"\\[Nn]")
DASH = re.compile(r"\s*[-\u2010-\u2015]\s*(?=\S)")
MARKUP = r"(?:<[^<>\n]{1,200}+>|\{[^{}\n]{0,200}+\}|\[[^\[\]\n]{0,60}+\]:?\s)"
HEAD = re.compile(rf"\s*+(?:{MARKUP}\s*+)*+")
TAIL = re.compile(r"\s*(?:</[^<>\n]{1,200}>|\{[^{}\n]{0,200}\})\s*\Z")
"""Tags before and behind the text of a cue."""
MAX_TAIL = 400
"""Characters in which the last tag is searched."""
DRAWING = re.compile(r"\\p[1-9]")


def read(content: bytes) -> Document:
    """The cues of an srt or vtt file."""
    file = TextFile.decode(content)
    slots: list[Slot] = []
    for cue in CUE.finditer(file.text):
        budget.check()
        lines = [(cue.start("text") + m.start(), m[0]) for m in LINE.finditer(cue["text"])]
        newline = "\r\n" if "\r\n" in cue["text"] else "\n"
        slots += _slots(lines, newline)
    return with_slots(file, slots)


def read_ass(content: bytes) -> Document:
    """The dialogues of an ass or ssa file. Comments and drawings stay as they are."""
    file = TextFile.decode(content)
    named = FORMAT.search(file.text)
    fields = len(named["names"].split(",")) if named else 10
    slots: list[Slot] = []
    for event in DIALOGUE.finditer(file.text):
        budget.check()
        parts = event["fields"].split(",", fields - 1)
        if len(parts) == fields and not DRAWING.search(parts[-1]):
            start = event.end() - len(parts[-1])
            slots += _slots([*_ass_lines(parts[-1], start)], "\\N")
    return with_slots(file, slots)


def _ass_lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    for line in ASS_BREAK.split(text):
        yield start, line
        start += len(line) + 2


def _slots(lines: list[tuple[int, str]], newline: str) -> Iterator[Slot]:
    """The slots of a cue: one slot, or one for each speaker. A line is a tuple of offset and text."""
    group: list[tuple[int, str]] = []
    for line in lines:
        if group and DASH.match(line[1]):
            yield from _slot(group, newline)
            group = []
        group.append(line)
    yield from _slot(group, newline)


def _slot(lines: list[tuple[int, str]], newline: str) -> Iterator[Slot]:
    """The slot of adjacent lines, without tags and dashes around them."""
    if not lines:
        return
    first, last = lines[0][0], lines[-1][0] + len(lines[-1][1])
    dash = DASH.match(lines[0][1])
    joined = " ".join(text for _, text in lines)
    skipped = dash.end() if dash else 0
    begin, stop = _edges(joined, skipped)
    if not joined[begin:stop].strip():
        return
    # Each break is one space in `joined`, and it is inside of the segment, so both ends are in a known line.
    start, end = first + begin, last - (len(joined) - stop)
    inner = [text for position, text in lines if start < position + len(text) and position < end]
    if begin > len(lines[0][1]) or len(joined) - stop > len(lines[-1][1]):
        return
    yield Slot(start, end, Segment(" ".join(joined[begin:stop].split())), lambda t: broken(t, len(inner), newline))


def _edges(text: str, start: int) -> tuple[int, int]:
    """Start and end of the text of a cue without the tags around it."""
    head = HEAD.match(text, start)
    begin = head.end() if head else start
    end = len(text.rstrip())
    while match := TAIL.search(text[max(begin, end - MAX_TAIL) : end]):
        budget.check()
        end -= len(match[0])
    return begin, max(begin, end)


def broken(text: str, count: int, newline: str) -> str:
    """A text in `count` lines of similar length, broken at spaces outside of tags.

    >>> broken("one two three four", 2, "|")
    'one two|three four'
    """
    if count == 1:
        return text
    words = re.findall(r"(?:<[^<>]*+>|[^\s<]|<)++", text)
    if len(words) < count:
        return text
    lengths = [len(re.sub(r"<[^<>]*+>", "", word)) for word in words]
    total = sum(lengths) + len(words) - 1
    lines: list[list[str]] = [[]]
    length = 0
    for place, word in enumerate(words):
        remaining = len(words) - place
        wanted = total * len(lines) / count
        is_full = length + (lengths[place] + 1) / 2 > wanted or remaining <= count - len(lines)
        if lines[-1] and is_full and len(lines) < count:
            lines.append([])
        lines[-1].append(word)
        length += lengths[place] + 1
    return newline.join(" ".join(line) for line in lines)
