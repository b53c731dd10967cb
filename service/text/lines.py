"""Hard-wrapped lines: paragraphs whose line breaks mean no more than a space."""

import re

BREAK = re.compile(
    r"(?<=[^\s\\])[ \t]?(?:\r\n|[\r\n])(?=[ \t]{0,3}[^\s\-*+>|#=\u2022\u2013\u2014])"
    r"(?![ \t]*(?:\d{1,3}|[A-Za-z])[.)]\s)"
)
"""A line break between two lines of a paragraph. Two spaces or a backslash before it, and a list item, a quotation, a
table, a heading or an indented line behind it keep it."""


def with_joined_lines(text: str) -> str:
    """A text of the same length with spaces for the line breaks within its paragraphs.

    >>> with_joined_lines("one\\ntwo\\n\\n- three\\n- four")
    'one two\\n\\n- three\\n- four'
    """
    return BREAK.sub(lambda match: " " * len(match[0]), text)
