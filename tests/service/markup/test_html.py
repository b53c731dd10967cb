"""Every document has a text and tags, and nothing of it is lost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.markup.html import OBJECT, read_html


def read(raw: str) -> tuple[str, list[tuple[int, str, str]]]:
    mapped, tags = read_html(raw)
    return mapped.text, [(tag.place, tag.raw, tag.name) for tag in tags]


@pytest.mark.parametrize(
    ("raw", "text", "tags"),
    [
        ("<p>wind &amp; rain</p>", "\nwind & rain\n", []),
        ("a <b>c</b>", "a c", [(2, "<b>", "b"), (3, "</b>", "/b")]),
        ("a<wbr/>b<img src=x>c<br>d", "abc\nd", [(1, "<wbr/>", ""), (2, "<img src=x>", "")]),
        ("a < b & c <3 &copy &eacute;", "a < b & c <3 \u00a9 \u00e9", []),
        ("wind <b", "wind ", [(5, "<b", "")]),
        ("wind <!-- rain > no", "wind ", [(5, "<!-- rain > no", "")]),
        ("a<!-->b<!--->c<!-- d -->e", "abce", [(1, "<!-->", ""), (2, "<!--->", ""), (3, "<!-- d -->", "")]),
        ("<![>Hello.", "Hello.", [(0, "<![>", "")]),
        ("&#65;&#x42;&#" + "1" * 4301 + ";c", "ABc", [(2, "&#" + "1" * 4301 + ";", "")]),
        ("<a title='a>b'>x</a>", "x", [(0, "<a title='a>b'>", "a"), (1, "</a>", "/a")]),
        ("<A HREF=x>y</A >", "y", [(0, "<A HREF=x>", "a"), (1, "</A >", "/a")]),
        ("</ >x</>", "x", [(0, "</ >", ""), (1, "</>", "")]),
        ("<!DOCTYPE html><?php x ?>wind", "\nwind", [(1, "<?php x ?>", "")]),
        ("a\n<pre>b\nc</pre>d\n", "a \nb\nc\nd ", []),
    ],
)
def test_text_and_tags(raw: str, text: str, tags: list[tuple[int, str, str]]) -> None:
    assert read(raw) == (text, tags)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<code>a <code>b</code> c</code> d", f"{OBJECT} d"),
        ("<ruby>a<rt>b</rt></ruby> d", f"{OBJECT} d"),
        ("a <kbd>Ctrl</kbd> b", f"a {OBJECT} b"),
        ('a <span class="b notranslate">c</span> d', f"a {OBJECT} d"),
        ("<b translate='no'>c</b> d", f"{OBJECT} d"),
        ("<b class=translate>c</b> d", "c d"),
        ("<div translate=no>a<div>b</div>c</div>d", "\nd"),
        ("<code>never closed <b>", OBJECT),
    ],
)
def test_elements_that_are_copied(raw: str, text: str) -> None:
    assert read(raw)[0] == text


def test_elements_without_text() -> None:
    script = "<script>if (a<b) {'</p>'}</script >"
    assert read(f"a{script}b") == ("ab", [(1, script, "")])
    assert read("a<STYLE>b</style>c<svg><path/></svg>d")[0] == "acd"
    assert read("a<script>b") == ("a", [(1, "<script>b", "")])
    assert read("a<textarea><b></textarea>c")[0] == "ac"


PARTS = st.sampled_from(
    [
        "<",
        ">",
        "</",
        "/>",
        "<!--",
        "-->",
        "<![",
        "]]>",
        "<!",
        "<?",
        "&",
        "&#",
        "&#x",
        ";",
        "1",
        "f",
        "a",
        "b",
        " ",
        "\n",
    ]
    + ["p", "script", "code", "pre", "=", "'", '"', "-", "!", "\u00e9", "\x00", "amp", "translate", "no"]
)


@given(st.lists(PARTS, max_size=40).map("".join))
def test_any_string_is_a_document(raw: str) -> None:
    """The spans of text and tags do not overlap, and together with what is between them they are the document."""
    mapped, tags = read_html(raw)
    assert mapped.starts.tolist() == sorted(mapped.starts.tolist())
    assert all(0 <= start < end <= len(raw) for start, end in zip(mapped.starts, mapped.ends, strict=True))
    position = 0
    for tag in tags:
        start = int(mapped.ends[tag.place - 1]) if tag.place else 0
        position = raw.find(tag.raw, max(start, position))
        assert position >= 0 and tag.raw
        position += len(tag.raw)
        assert tag.place == len(mapped.text) or position <= mapped.starts[tag.place]


@pytest.mark.parametrize(
    "raw",
    ["<a", "<!--", "<b>", "<!", "&", "&#1", "<a x='", "<script>", "<code>", "<style></styl", "<b><i></b></i>"]
    + [
        "Hi. <" + "a" * 20_000,
        "<a " + "b " * 10_000 + ">",
        "<a translate " + "b= " * 6_500 + ">",
        "&#" + "1" * 20_000,
    ],
)
def test_hostile_documents_take_linear_time(raw: str) -> None:
    def seconds(part: str) -> float:
        start = time.thread_time()
        read_html(part)
        return time.thread_time() - start

    raw = (raw * 10_000)[:20_000]
    quarter = min(seconds(raw[:5_000]) for _ in range(2))
    assert seconds(raw) < max(0.6, 10 * quarter)
