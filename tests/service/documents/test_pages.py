"""Text, Markdown and HTML."""

import pytest
from markdown_it import MarkdownIt

from tests.service.documents.checks import in_capitals, read, texts_of, unchanged

MARKDOWN = """---
title: "The dog"
date: 2024-01-01
tags: [a, b]
---
# The dog

A **good** dog\\* sleeps &amp; eats. See [the *station*](https://example.org/a_(b) "Station")[^1]
and `code` ![alt](x.png) again.  
New line. <b>Bold</b> <https://example.org> a_b_c <br> end.

Setext
------

- Monday: closed
- [ ] a task
  - no dogs
1. Open the door.

| Day | Price \\| cost |
|-----|-------|
| Monday | a *b* |

> He said: "I am tired."
> And left.

```sh
curl -s localhost   # keep
```

    indented code

<!-- a comment stays -->

<div class="x">
Some <i>text</i>
</div>

[ref]: https://example.org "Title"
[^1]: A note with [a ref][ref].
"""


def test_markdown() -> None:
    found = in_capitals("a.md", MARKDOWN)
    before, after = (MarkdownIt("commonmark").enable("table").parse(text) for text in (MARKDOWN, found))
    assert [(token.type, token.level) for token in after] == [(token.type, token.level) for token in before]
    for text in (
        'title: "THE DOG"\ndate: 2024-01-01\ntags: [a, b]',
        "# THE DOG\n",
        "A **GOOD** DOG\\* SLEEPS & EATS. ",
        'SEE [THE *STATION*](https://example.org/a_(b) "Station")[^1] AND `code` ![alt](x.png) AGAIN.  \n',
        "NEW LINE. <b>BOLD</b> <https://example.org> A_B_C <br> END.\n",
        "SETEXT\n------",
        "- [ ] A TASK\n  - NO DOGS\n1. OPEN",
        "| DAY | PRICE \\| COST |\n|-----|-------|\n| MONDAY | A *B* |",
        '> HE SAID: "I AM TIRED." AND LEFT.\n',
        "```sh\ncurl -s localhost   # keep\n```",
        "    indented code\n\n<!-- a comment stays -->",
        '<div class="x">\nSOME <i>TEXT</i>\n</div>',
        '[ref]: https://example.org "Title"',
    ):
        assert text in found, text
    assert in_capitals("a.md", found) == found


def test_markdown_that_is_not_translated_stays() -> None:
    assert unchanged("a.md", MARKDOWN) == MARKDOWN.encode()
    dos = MARKDOWN.replace("\n", "\r\n")
    assert unchanged("a.md", dos) == dos.encode()
    assert "# THE DOG\r\n" in in_capitals("a.md", dos)


def test_tags_in_markdown_are_moved() -> None:
    document = read("a.md", "A **good** [dog](x) and `a`.")
    assert texts_of(document) == ["A <g0>good</g0> <g1>dog</g1> and <code 2></code>."]
    assert document.write(["<g1>Chien</g1> <g0>bon</g0> et <code 2></code>."]) == b"[Chien](x) **bon** et `a`."
    assert document.write(["a tag is <g1>lost</g1>"]) == b"A **good** [dog](x) and `a`."


HTML = """<!DOCTYPE html>
<html lang="en"><head><title>The dog</title><style>p { color: red }</style><script>var a = "no";</script></head>
<body>
  <p class='a'>A <b>good</b> dog &amp; a <code>KEEP</code>.</p>
  <ul><li>one<li>two</ul><p translate="no">keep</p><pre>line one
line two</pre><!-- alt="keep" --><img alt="shown" class="title">
</body></html>
"""


def test_html() -> None:
    found = in_capitals("a.html", HTML)
    expected = HTML
    for text in ("The dog", "A <b>good", "dog &amp; a", ">one<", ">two<", "line one", "line two", "shown"):
        expected = expected.replace(text, text.upper().replace("<B>", "<b>").replace("&AMP;", "&amp;"))
    assert found == expected.replace("</B>", "</b>")
    assert unchanged("a.html", HTML) == HTML.encode()
    assert len(read("a.html", HTML).segments) == 7


def test_attributes_of_html() -> None:
    """An attribute inside of a text is translated with the text, any other is a segment."""
    page = (
        '<meta name=description content=\'a "page"\'><meta name="author" content="keep">'
        "<p>A <img alt='a dog'> sleeps.</p><input placeholder=name value=\"keep\"><img alt='it&#39;s &lt;'>"
    )
    document = read("a.html", page)
    assert texts_of(document) == ['a "page"', "A <img alt='a dog'> sleeps.", "name", "it's <"]
    assert unchanged("a.html", page) == page.encode()
    found = document.write(['l\'une "page" & deux', "x", 'le "nom"', "c'est"]).decode()
    assert found == (
        '<meta name=description content=\'l&#39;une "page" &amp; deux\'><meta name="author" content="keep">'
        '<p>x</p><input placeholder="le &quot;nom&quot;" value="keep"><img alt=\'c&#39;est\'>'
    )


def test_html_in_another_encoding() -> None:
    page = '<meta charset="iso-8859-1"><p>Caf\xe9</p>'.encode("latin-1")
    document = read("a.htm", page)
    assert texts_of(document) == ["Caf\xe9"]
    assert document.write(["\uac1c \xe9"]) == page.replace(b"Caf\xe9", b"&#44060; \xe9")


TEXT = """A title

  An indented paragraph of several
lines.

This paragraph has lines of a similar length, and
therefore they are joined to one text, and wrapped
again.
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text(newline: str) -> None:
    text = TEXT.replace("\n", newline)
    document = read("a.txt", text)
    assert len(document.segments) == 3 and "\n" not in document.segments[2].text
    assert in_capitals("a.txt", text) == text.upper()
    assert unchanged("a.txt", text) == text.encode()
