"""Syntax of messages between the texts that are translated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.markup.messages import message_syntax


def parts(text: str) -> tuple[list[str], list[str]]:
    syntax, numbers = message_syntax(text)
    return [text[slice(*span)] for span in syntax], [text[slice(*span)] for span in numbers]


def test_plural() -> None:
    syntax = ["{count, plural, =0 {", "} one {", "} other {", "}}"]
    assert parts("You have {count, plural, =0 {no dog} one {# dog} other {# {x} dogs}}.") == (syntax, ["#", "#"])


def test_select_has_no_number_sign() -> None:
    assert parts("{g, select, male {#1} other {They}}") == (["{g, select, male {", "} other {", "}}"], [])


def test_offset_and_ordinals() -> None:
    syntax, numbers = parts("{n, selectordinal, offset:1 one {#st} other {#th}}")
    assert syntax[0] == "{n, selectordinal, offset:1 one {" and numbers == ["#", "#"]


def test_nested_arguments() -> None:
    text = "{g, select, male {He has {n, plural, one {# dog} other {# dogs}}} other {They}}"
    syntax, numbers = parts(text)
    assert syntax == ["{g, select, male {", "{n, plural, one {", "} other {", "}}} other {", "}}"]
    assert numbers == ["#", "#"]


@pytest.mark.parametrize(
    "text",
    [
        "{n, plural, }",
        "{n, plural, one {a}",
        "{n, plural, one {a",
        "{n, plural one {a}}",
        "{n, number}",
        "{n, plural, one {a} b}",
        "plural",
    ],
)
def test_malformed_arguments_are_text(text: str) -> None:
    assert message_syntax(text) == ([], [])


@given(
    st.lists(st.sampled_from(["{n, plural, ", "one {", "other {", "#", "x", "}", "{y}", "{g, select, "]), max_size=14)
)
def test_spans_are_in_order(tokens: list[str]) -> None:
    text = "".join(tokens)
    syntax, numbers = message_syntax(text)
    ends = [place for span in syntax for place in span]
    assert ends == sorted(ends) and all(start < end <= len(text) for start, end in syntax)
    assert all(text[slice(*span)] == "#" for span in numbers)
