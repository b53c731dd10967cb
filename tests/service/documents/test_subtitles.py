"""Subtitles. pysubs2, another implementation, reads the results."""

from pathlib import Path

import pysubs2
import pytest

from service.documents.subtitles import broken
from tests.service.documents.checks import in_capitals, read, texts_of, unchanged

SRT = """1
00:00:06,174 --> 00:00:09,305
The dog that I saw
yesterday is here.

2
00:00:09,500 --> 00:00:12,000
- Who is <i>there</i>?
- It's me.

3
00:00:13,000 --> 00:00:15,000
{\\an8}<i>Good
morning.</i>

4
00:00:16,000 --> 00:00:17,000

5
00:00:18,000 --> 00:00:19,000
Last"""

VTT = """WEBVTT - a title

NOTE not for viewers

STYLE
::cue { color: red }

intro
00:06.174 --> 00:09.305 align:start
<v Tom>The dog is here.

00:00:09.500 --> 00:00:12.000
Where is the <c.yellow>station</c>?
"""

ASS = """[Script Info]
Title: keep

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,keep
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}The dog,\\Nand the cat{\\i0}
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}
"""


def test_subrip() -> None:
    document = read("a.srt", SRT)
    assert texts_of(document) == [
        "The dog that I saw yesterday is here.",
        "Who is <i>there</i>?",
        "It's me.",
        "Good morning.",
        "Last",
    ]
    found = in_capitals("a.srt", SRT)
    assert found.lower() == SRT.lower()
    before, after = (pysubs2.SSAFile.from_string(text, "srt") for text in (SRT, found))
    assert [(event.start, event.end) for event in after] == [(event.start, event.end) for event in before]
    assert [event.plaintext for event in after] == [event.plaintext.upper() for event in before]


def test_web_vtt() -> None:
    found = in_capitals("a.vtt", VTT)
    expected = VTT.replace("The dog is here", "THE DOG IS HERE").replace("Where is the", "WHERE IS THE")
    assert found == expected.replace("station", "STATION")


def test_substation_alpha() -> None:
    found = in_capitals("a.ass", ASS)
    assert found == ASS.replace("The dog,\\Nand the cat", "THE DOG,\\NAND THE CAT")
    assert pysubs2.SSAFile.from_string(found)[1].plaintext == "THE DOG,\nAND THE CAT"


@pytest.mark.parametrize(("name", "content"), [("a.srt", SRT), ("a.vtt", VTT), ("a.ass", ASS)])
def test_what_is_not_text_stays(name: str, content: str, tmp_path: Path) -> None:
    for variant in (content, content.replace("\n", "\r\n"), "\ufeff" + content):
        assert unchanged(name, variant) == variant.encode()
        assert texts_of(read(name, variant)) == texts_of(read(name, content))


def test_latin_1_becomes_utf_8_where_it_must() -> None:
    latin = SRT.replace("dog", "café").encode("latin-1")
    assert unchanged("a.srt", latin) == latin
    document = read("a.srt", latin)
    assert document.write(["개", "b", "c", "d", "e"]).startswith(b"\xef\xbb\xbf1\n")


@pytest.mark.parametrize(
    ("text", "count", "lines"),
    [
        ("one", 2, "one"),
        ("one two", 2, "one|two"),
        ("a bb ccc dddd eeeee", 3, "a bb|ccc dddd|eeeee"),
        ('aa <font color="x y">bb</font> cc', 2, 'aa|<font color="x y">bb</font> cc'),
    ],
)
def test_lines_of_similar_length(text: str, count: int, lines: str) -> None:
    assert broken(text, count, "|") == lines
