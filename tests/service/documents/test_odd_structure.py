"""Files with odd structure: CDATA, comments, plurals, several lines, byte order marks, Windows line breaks.

The translator writes letters as capitals. So a file differs from its translation only in the case of letters, and in
the places that were empty.
"""

# ruff: noqa: E501  # the files are easier to compare on one line each

import codecs
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.service.documents.checks import capitals_of, unchanged

XML = '<?xml version="1.0" encoding="utf-8"?>\n'

IN_PLACE: list[tuple[str, str, list[str], list[str]]] = [
    ("a.txt", "\ufeffone two\r\n\r\n\tthree\r\n   \r\n\r\nfour\r\n", ["ONE TWO", "\tTHREE", "FOUR"], ["\r\n\r\n"]),
    ("a.txt", "\n\n\n- one\n- two\n\n1) three\n", ["- ONE", "- TWO", "1) THREE"], []),
    ("a.txt", "no end", ["NO END"], []),
    ("a.md", "one\r\n===\r\n\r\n* two\r\n\r\n      keep()\r\n", ["ONE\r\n===", "* TWO"], ["keep()"]),
    ("a.md", "> one\n>\n> > two\n\n~~~\nkeep\n~~~\n***\n", ["> ONE", "> > TWO"], ["keep"]),
    (
        "a.md",
        "<!-- keep\n\nkeep -->\n\n[one](keep.html 'two') **three _four_**\n",
        ["[ONE]", "**THREE _FOUR_**"],
        ["keep.html"],
    ),
    (
        "a.html",
        "\ufeff<!DOCTYPE html>\r\n<P>one<BR>two<!-- keep --></P\r\n><li>three",
        ["ONE<BR>TWO", "THREE"],
        ["keep"],
    ),
    ("a.html", "<table><tr><td>one<td><b><i>two</b></i></table><script>keep</script>", ["ONE", "<b><i>TWO"], ["keep"]),
    ("a.xhtml", XML + "<html><body><p>one<br/>two</p><![CDATA[keep]]></body></html>", ["ONE<br/>TWO"], []),
    ("a.srt", "\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>one</i>\r\ntwo\r\n\r\n", ["<i>ONE</i>", "TWO"], ["-->"]),
    (
        "a.srt",
        "1\n00:00:01,000 --> 00:00:02,000 X1:1\n- one\n- two\n\n\n3\n00:00:03,000 --> 00:00:04,000\n\n",
        ["- ONE", "- TWO"],
        ["X1:1"],
    ),
    ("a.srt", "7\n00:00:01,000 --> 00:00:02,000\n{\\an8}one\n", ["ONE"], ["{\\an8}"]),
    (
        "a.vtt",
        "WEBVTT - keep\n\nSTYLE\n::cue { color: red }\n\nid\n00:01.000 --> 00:02.000 align:start\n<v Ann>one\n",
        ["ONE"],
        ["<v Ann>", "id\n"],
    ),
    (
        "a.vtt",
        "\ufeffWEBVTT\r\n\r\nNOTE keep\r\n\r\n00:01.000 --> 00:02.000\r\none &amp; two\r\n",
        ["ONE &amp; TWO"],
        ["NOTE keep"],
    ),
    ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n- one\n- two\n", ["- ONE", "- TWO"], []),
    ("a.properties", "# keep\n! keep\n\nkey2:three\nkey\\ 3 four\n", ["THREE", "FOUR"], ["# keep", "key2:", "key\\ 3"]),
    ("a.properties", "a=one\r\nb=\r\nc = two {0}\r\n", ["ONE", "TWO {0}"], ["b=\r\n"]),
    ("a.properties", "\ufeffa=one", ["ONE"], []),
    (
        "a.strings",
        '/* keep\n"no" = "keep"; */\n"a" = "one\\n\\"two\\"";\n// keep\nb = "three";\n',
        ["ONE", "TWO", "THREE"],
        ['"no" = "keep"'],
    ),
    ("a.strings", '\ufeff"a"="one";"b"="two %@";\r\n', ["ONE", "TWO %@"], ['"a"=']),
    ("a.strings", '"a"\n=\n"one" ;\n\n\n', ["ONE"], ['"a"\n=']),
    (
        "a.xml",
        XML + '<resources>\n<!-- keep --><string name="a"><![CDATA[one <b>two</b>]]></string></resources>',
        ["ONE", "TWO"],
        ["<!-- keep -->", "<![CDATA["],
    ),
    (
        "a.xml",
        XML
        + '<resources><plurals name="a"><item quantity="one">%d dog</item><item quantity="other">%d dogs</item></plurals></resources>',
        ["%d DOG<", "%d DOGS<"],
        ['quantity="one"'],
    ),
    (
        "a.xml",
        XML
        + '<resources xmlns:tools="t"><string-array name="a"><item>one</item><item/></string-array><string name="b" translatable="false">keep</string></resources>\r\n',
        ["ONE"],
        [">keep<"],
    ),
    (
        "a.resx",
        XML
        + '<root><!-- keep --><data name="a" xml:space="preserve"><value>one\n two</value><comment>keep</comment></data></root>',
        ["ONE\n TWO"],
        ["<comment>keep"],
    ),
    (
        "a.resx",
        XML
        + '<root><data name="a" type="System.Drawing"><value>keep</value></data><data name="b"><value>one &lt;two</value></data></root>',
        ["ONE &lt;"],
        [">keep<"],
    ),
    (
        "a.resx",
        "\ufeff"
        + XML.replace("\n", "\r\n")
        + '<root>\r\n<data name="a"><value>one</value></data>\r\n<data name="b"><value/></data></root>',
        ["ONE"],
        [],
    ),
    ("a.json", '\ufeff{"a": {"b": ["one", 1, null, true, "", {"c": "two"}]}}\r\n', ['"ONE"', '"TWO"'], ['"a"', '"c"']),
    ("a.json", '{"a":"one",\n\n "a" : "{n} two\\n"  }', ['"ONE"', '"{n} TWO\\n"'], ['"a" :']),
    ("a.arb", '{"@@locale": "keep", "a": "one", "@a": {"description": "keep"}}', ['"ONE"'], ['"keep"']),
    (
        "a.yaml",
        "# keep\na: one   # keep\nb: 'two'\nc:\n  - \"three\"\n  - 1\n",
        ["ONE", "'TWO'", '"THREE"'],
        ["# keep"],
    ),
    (
        "a.yaml",
        "a: &x one\nb: *x\nc: {d: two, e: [!!str three]}\nf: &y !!str 'four'\ng: !t keep\n",
        ["&x ONE", "TWO", "!!str THREE", "&y !!str 'FOUR'"],
        ["*x", "!t keep"],
    ),
    ("a.yml", "\ufeffa: one\r\nb: null\r\nc: true\r\n", ["ONE"], ["null", "true"]),
    ("a.csv", '\ufeffone;"two;""three"""\r\n1;\r\n', ["ONE;", '"TWO;""THREE"""'], ["1;\r\n"]),
    ("a.csv", 'one,"two\nthree"\n', ["ONE,", '"TWO\nTHREE"'], []),
    ("a.tsv", "one\ttwo\n\t\n", ["ONE\tTWO"], []),
]
"""Name, content, texts in capitals, and what stays."""


@pytest.mark.parametrize(("name", "content", "texts", "kept"), IN_PLACE)
def test_only_the_case_of_texts_differs(name: str, content: str, texts: list[str], kept: list[str]) -> None:
    raw = content.encode()
    assert unchanged(name, raw) == raw
    found = capitals_of(name, raw)
    assert found.lower() == raw.lower()
    for part in (*texts, *kept):
        assert part in found.decode()
    assert capitals_of(name, found) == found


def test_values_on_several_lines() -> None:
    """They become one line with the same meaning."""
    assert capitals_of("a.properties", "a = one \\\n   two\nb=x\n") == b"a = ONE TWO\nb=X\n"
    assert capitals_of("a.strings", '"a" = "one\ntwo";\n') == b'"a" = "ONE\\nTWO";\n'


PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
PLURALS = '"Plural-Forms: nplurals=3; plural=n==1 ? 0 : n<5 ? 1 : 2;\\n"\n'

FILLED: list[tuple[str, str, list[str]]] = [
    (
        "a.po",
        PO + '\nmsgid "one"\nmsgstr ""\n\n\n#, fuzzy\n#| msgid "old"\nmsgid "new"\nmsgstr "kept"\n',
        ['msgstr "ONE"'],
    ),
    (
        "a.po",
        PO + PLURALS + '\nmsgid "%d dog"\nmsgid_plural "%d dogs"\nmsgstr[0] ""\nmsgstr[1] ""\nmsgstr[2] ""\n',
        ['msgstr[0] "%d DOG"', 'msgstr[2] "%d DOGS"'],
    ),
    ("a.po", (PO + '\nmsgctxt "a\\"b"\nmsgid ""\n"one\\n"\n"two"\nmsgstr ""\n').replace("\n", "\r\n"), ["ONE", "TWO"]),
    ("a.pot", "\ufeff" + PO + '\n#. note\n#: a.c:1\nmsgid "one"\nmsgstr ""', ['msgstr "ONE"']),
    (
        "a.xlf",
        XML
        + '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" datatype="x" original="x"><body><group><!-- keep --><trans-unit id="1"><source>one <g id="1">two <g id="2">three</g></g></source></trans-unit></group></body></file></xliff>',
        ["<target>ONE", "TWO", "THREE"],
    ),
    (
        "a.xliff",
        XML.replace("\n", "\r\n")
        + '<xliff version="1.2"><file><body>\r\n<trans-unit id="1">\r\n<source>one<x id="1"/></source>\r\n<note>keep</note></trans-unit></body></file></xliff>',
        ["ONE"],
    ),
    (
        "a.xlf",
        XML
        + '<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="fr"><file id="f"><unit id="1"><segment><source>one</source></segment><ignorable><source> </source></ignorable><segment><source>two</source></segment></unit></file></xliff>',
        ["<target>ONE", "<target>TWO"],
    ),
    (
        "a.ts",
        XML
        + '<!DOCTYPE TS>\n<TS version="2.1"><context><name>keep</name><message><location line="1"/><source>one</source><translation type="unfinished"></translation></message></context></TS>',
        [">ONE</translation>"],
    ),
    (
        "a.ts",
        XML
        + '<TS version="2.1"><context><message numerus="yes"><source>%n dogs</source><translation type="unfinished"><numerusform></numerusform><numerusform/></translation></message></context></TS>',
        ["<numerusform>%n DOGS</numerusform>"],
    ),
    (
        "a.ts",
        XML.replace("\n", "\r\n")
        + '<TS><context>\r\n<message><source>a &lt;b&gt;\r\nc</source><translation type="unfinished"/></message><message><source>x</source><translation type="vanished">keep</translation></message></context></TS>',
        ["A"],
    ),
]
"""Name, content, and the filled places."""


def skeleton(text: str) -> list[str]:
    """The words of a file without its filled places."""
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize(("name", "content", "filled"), FILLED)
def test_only_empty_places_are_filled(name: str, content: str, filled: list[str], tmp_path: Path) -> None:
    raw = content.encode()
    found = capitals_of(name, raw)
    for part in filled:
        assert part in found.decode()
    assert found.startswith(codecs.BOM_UTF8) == raw.startswith(codecs.BOM_UTF8)
    assert (b"\r\n" in found) == (b"\r\n" in raw)
    rest = iter(skeleton(found.decode()))
    assert all(word in rest for word in skeleton(content))  # everything that was there is there, in order
    assert capitals_of(name, found) == found
    if name.endswith((".po", ".pot")) and not content.startswith("\ufeff"):  # msgfmt takes no byte order mark
        check_with("msgfmt", ["--check-format", "-o", str(tmp_path / "a.mo")], tmp_path / name, found)


FILES = [(case[0], case[1]) for case in IN_PLACE] + [(case[0], case[1]) for case in FILLED]
XML_FILES = [(name, content) for name, content in FILES if content.lstrip("\ufeff").startswith("<?xml")]


@pytest.mark.parametrize(("name", "content"), XML_FILES)
def test_xml_stays_well_formed(name: str, content: str) -> None:
    before, after = (ET.fromstring(raw) for raw in (content.encode(), capitals_of(name, content)))
    added = {"target", "segment"}
    elements = [[e.tag for e in root.iter() if e.tag.rpartition("}")[2] not in added] for root in (before, after)]
    assert len(elements[1]) >= len(elements[0])
    assert [e for e in elements[0] if e not in elements[1]] == []


@pytest.mark.parametrize(("name", "content"), XML_FILES)
def test_xmllint(name: str, content: str, tmp_path: Path) -> None:
    check_with("xmllint", ["--noout", "--nonet"], tmp_path / name, capitals_of(name, content))


def check_with(tool: str, options: list[str], path: Path, content: bytes) -> None:
    """Validate a file with a program. Skips the test without the program."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    path.write_bytes(content)
    done = subprocess.run([tool, *options, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
