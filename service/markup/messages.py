"""Message syntax: ICU plural and select arguments, whose branches are translated, and escaped line breaks.

{count, plural, one {# dog} other {# dogs}}    Unicode TR 35, part "Message Format"
"""

import re
from collections.abc import Sequence

from service.batching import budget
from service.text.mapped import Span

LINE_BREAK = re.compile(r"(?:\\r)?\\n(?![a-z])|\\[rt](?![a-z])|(?<=[.!?;,])(?:\\[rnt])+")
"""An escaped line break or tab in a string of a program: backslash, n."""

ARGUMENT = re.compile(
    r"\{\s{0,20}+[\w.-]{1,60}+\s{0,20}+,\s{0,20}+(plural|selectordinal|select)\s{0,20}+,(?:\s{0,20}+offset:\d{1,6}+)?"
)
SELECTOR = re.compile(r"\s{0,99}+(?:=\d{1,6}+|[\w-]{1,60}+)\s{0,20}+\{")
END = re.compile(r"\s{0,99}+\}")
MARK = re.compile(r"[{}#]")
MAX_DEPTH = 5
"""Maximum nesting of arguments."""


def message_syntax(text: str) -> tuple[list[Span], list[Span]]:
    """The spans of syntax between the branches of all plural and select arguments, and those of the number sign in
    plural branches.

    >>> message_syntax("{n, plural, one {# dog} other {dogs}}")
    ([(0, 17), (22, 31), (35, 37)], [(17, 18)])
    """
    syntax: list[Span] = []
    numbers: list[Span] = []
    position = 0
    while (match := ARGUMENT.search(text, position)) is not None:
        budget.check()
        found = _argument(text, match, 1)
        if found is None:
            position = match.end()
        else:
            position, own_syntax, own_numbers = found
            syntax += own_syntax
            numbers += own_numbers
    return _joined(syntax), numbers


def _argument(text: str, match: re.Match[str], depth: int) -> tuple[int, list[Span], list[Span]] | None:
    """The end of an argument, its syntax and its number signs. None if it is malformed or too deep."""
    syntax: list[Span] = []
    numbers: list[Span] = []
    start, position = match.span()
    while (selector := SELECTOR.match(text, position)) is not None:
        syntax.append((start, selector.end()))
        branch = _branch(text, selector.end(), match[1] != "select", depth)
        if branch is None:
            return None
        start, own_syntax, own_numbers = branch
        position = start + 1
        syntax += own_syntax
        numbers += own_numbers
    end = END.match(text, position)
    if end is None or not syntax:
        return None
    syntax.append((start, end.end()))
    return end.end(), sorted(syntax), numbers


def _branch(text: str, position: int, counts: bool, depth: int) -> tuple[int, list[Span], list[Span]] | None:
    """The place of the brace that closes a branch, and the syntax and number signs inside of it."""
    syntax: list[Span] = []
    numbers: list[Span] = []
    opened = 0
    while (mark := MARK.search(text, position)) is not None:
        budget.check()
        position = mark.end()
        if mark[0] == "#":
            if counts and not opened:
                numbers.append(mark.span())
        elif mark[0] == "}":
            if not opened:
                return mark.start(), syntax, numbers
            opened -= 1
        elif (nested := ARGUMENT.match(text, mark.start())) is not None and not opened:
            found = _argument(text, nested, depth + 1) if depth < MAX_DEPTH else None
            if found is None:
                return None
            position = found[0]
            syntax += found[1]
            numbers += found[2]
        else:
            opened += 1
    return None


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, with adjacent ones joined."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
