"""Formats of localized programs. translate-toolkit, another implementation, reads the results."""

import subprocess
from pathlib import Path

import pytest
from translate.storage import aresource, csvl10n, jsonl10n, po, properties, resx, ts2, xliff

from service.documents.accelerators import take_accelerator
from service.errors import InvalidInput
from tests.service.documents.checks import capitals, in_capitals, read, texts_of, unchanged

PO = r"""# A comment
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

#: main.c:7
#, c-format
msgid "Open the \"file\" %s.\n"
msgstr ""

msgctxt "menu"
msgid "_Open"
msgstr ""

msgid "%d dog"
msgid_plural "%d dogs"
msgstr[0] ""
msgstr[1] ""

msgid ""
"one "
"two\n"
"three"
msgstr   ""

msgid   "Good morning."
msgstr "Bonjour."

#~ msgid "old"
#~ msgstr ""
"""


def test_gettext_fills_empty_entries(tmp_path: Path) -> None:
    found = in_capitals("a.po", PO)
    units = {unit.source: unit for unit in po.pofile.parsestring(found.encode()).units if not unit.isobsolete()}
    assert units['Open the "file" %s.\n'].target == 'OPEN THE "FILE" %s.\n'
    assert units["_Open"].target == "_OPEN"
    assert units["%d dog"].target.strings == ["%d DOG", "%d DOGS"]
    assert units["one two\nthree"].target == "ONE TWO\nTHREE"
    assert units["Good morning."].target == "Bonjour."
    assert '#~ msgid "old"\n#~ msgstr ""\n' in found
    assert in_capitals("a.po", found) == found  # nothing is left to translate
    (tmp_path / "a.po").write_text(found)
    subprocess.run(["msgfmt", "--check-format", "-o", tmp_path / "a.mo", tmp_path / "a.po"], check=True)


CONTEXTS = r"""msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

#. The fifth month of a year
msgctxt "month name"
msgid "May"
msgstr ""

msgctxt ""
"modal "
"verb"
msgid "May"
msgstr ""

msgctxt "permission"
msgid "May"
msgstr "Peut"

msgid "May"
msgstr ""

#| msgctxt "old context"
#| msgid "Maybe"
msgctxt "menu"
msgid "May"
msgid_plural "Mays"
msgstr[0] ""
msgstr[1] ""
"""


def test_gettext_entries_with_one_text_and_different_contexts_stay_separate(tmp_path: Path) -> None:
    """Each empty entry is a segment of its own. Contexts are not translated."""
    document = read("a.po", CONTEXTS)
    assert texts_of(document) == ["May", "May", "May", "May", "Mays"]
    found = document.write(["mai", "pouvoir", "sans contexte", "menu 1", "menu 2"]).decode()
    units = [unit for unit in po.pofile.parsestring(found.encode()).units if not unit.isheader()]
    assert [(unit.getcontext(), str(unit.target)) for unit in units[:4]] == [
        ("month name", "mai"),
        ("modal verb", "pouvoir"),
        ("permission", "Peut"),
        ("", "sans contexte"),
    ]
    assert (units[4].getcontext(), units[4].target.strings) == ("menu", ["menu 1", "menu 2"])
    kept = [line for line in CONTEXTS.splitlines() if not line.startswith("msgstr")]
    assert [line for line in found.splitlines() if not line.startswith("msgstr")] == kept
    (tmp_path / "a.po").write_text(found)
    subprocess.run(["msgfmt", "--check-format", "-o", tmp_path / "a.mo", tmp_path / "a.po"], check=True)


def test_gettext_with_one_plural_form() -> None:
    found = in_capitals("a.po", PO.replace("nplurals=2", "nplurals=1").replace('msgstr[1] ""\n', ""))
    assert 'msgstr[0] "%d DOGS"' in found


XLIFF = """<?xml version='1.0' encoding="UTF-8"?>
<xliff version="1.2" xmlns='urn:oasis:names:tc:xliff:document:1.2'>
  <file source-language="en" target-language="fr" original="a" datatype="plaintext"><body>
    <trans-unit id="1"  xml:space="preserve">
      <source>See <g id="1">the dog</g><x id="2"/> &amp; more.</source>
    </trans-unit>
    <trans-unit id="2"><source>two</source><target>deux</target></trans-unit>
    <trans-unit id="3" translate="no"><source>three</source></trans-unit>
    <trans-unit id="4"><source>four</source><target/></trans-unit>
    <trans-unit id="5"><source>five</source><target state="new"></target></trans-unit>
  </body></file>
</xliff>
"""


def test_xliff_fills_targets() -> None:
    found = in_capitals("a.xlf", XLIFF)
    assert '<target>SEE <g id="1">THE DOG</g><x id="2"/> &amp; MORE.</target>\n    </trans-unit>' in found
    units = xliff.xlifffile.parsestring(found.encode()).units
    assert [unit.target and str(unit.target) for unit in units][1:] == ["deux", None, "FOUR", "FIVE"]
    assert found.startswith(XLIFF[:250])
    assert in_capitals("a.xliff", found) == found


def test_xliff_2() -> None:
    source = (
        '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="fr"><file id="f">'
        '<unit id="1"><segment><source>A <pc id="1">dog</pc><ph id="2"/>.</source></segment></unit>'
        '<unit id="2" translate="no"><segment><source>no</source></segment></unit></file></xliff>'
    )
    filled = '</source><target>A <pc id="1">DOG</pc><ph id="2"/>.</target></segment>'
    assert in_capitals("a.xlf", source) == source.replace("</source></segment>", filled, 1)


def test_elements_that_a_translation_lost() -> None:
    document = read("a.xlf", XLIFF)
    found = document.write(["Voyez <b>tout</b>.", "QUATRE", "CINQ"]).decode()
    assert "<target>Voyez &lt;b&gt;tout&lt;/b&gt;.</target>" in found


ANDROID = r"""<?xml version="1.0" encoding="utf-8"?>
<resources xmlns:xliff="urn:oasis:names:tc:xliff:document:1.2">
    <!-- comment -->
    <string name="a">It\'s <b>bold</b> &amp; %1$s</string>
    <string name='b' translatable="false">keep</string>
    <string name="c"><![CDATA[<b>x</b>]]></string>
    <string name="d">@string/a</string>
    <string-array name="e"><item>one</item><item>two</item></string-array>
    <plurals name="f"><item quantity="one">%d dog</item><item quantity="other">%d dogs</item></plurals>
    <string name="g">"quoted  text"</string>
</resources>
"""


def test_android_strings() -> None:
    found = in_capitals("strings.xml", ANDROID)
    expected = ANDROID
    for text in ("It\\'s <b>bold", "<b>x</b>", ">one<", ">two<", " dog<", " dogs<", "quoted  text"):
        expected = expected.replace(text, capitals(text))
    assert found.replace("%1$S", "%1$s") == expected
    assert len(aresource.AndroidResourceFile.parsestring(found.encode()).units) == 6
    assert read("a.xml", ANDROID).write(["L'eau"] + ["x"] * 6).decode().count("L\\'eau") == 1


RESX = """<?xml version="1.0" encoding="utf-8"?>
<root>
  <data name="a" xml:space="preserve"><value>E&amp;xit &lt;b&gt;now&lt;/b&gt;</value><comment>keep</comment></data>
  <data name="b" type="System.Drawing.Point, System.Drawing"><value>keep</value></data>
  <data name="&gt;&gt;c.Name"><value>keep</value></data>
</root>"""


def test_resx_values() -> None:
    found = in_capitals("a.resx", RESX)
    assert found == RESX.replace("E&amp;xit &lt;b&gt;now", "E&amp;XIT &lt;b&gt;NOW")
    assert resx.RESXFile.parsestring(found.encode()).units[0].target == "E&XIT <b>NOW</b>"


QT = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="fr_FR">
<context><name>Main</name>
    <message><source>&amp;Open</source><translation type="unfinished"></translation></message>
    <message><source>two</source><translation>deux</translation></message>
    <message numerus="yes"><source>%n dog(s)</source>
        <translation type="unfinished"><numerusform></numerusform><numerusform/></translation></message>
    <message><source>old</source><translation type="vanished"></translation></message>
</context>
</TS>
"""


def test_qt_linguist() -> None:
    found = in_capitals("a.ts", QT)
    expected = QT.replace('"unfinished"></translation>', '"unfinished">&amp;OPEN</translation>')
    forms = "<numerusform>%n DOG(S)</numerusform>"
    assert found == expected.replace("<numerusform></numerusform><numerusform/>", 2 * forms)
    assert ts2.tsfile.parsestring(found.encode()).units[2].target.strings == ["%n DOG(S)"] * 2


JSON = '{\n\t"a" : "caf\\u00e9 \\"x\\"",  "n": [1.50, null, true, "b"], "@a": {"description": "no"}, "e": {}\n}\n'


def test_json_strings() -> None:
    found = in_capitals("a.arb", JSON)
    assert found == JSON.replace("caf\\u00e9", "CAF\\u00c9").replace('"x\\""', '"X\\""').replace(
        '\\"x', '\\"X'
    ).replace('"b"', '"B"')
    assert jsonl10n.JsonFile.parsestring(found.encode()).units[0].target == 'CAFÉ "X"'
    extension = '{"title": {"message": "Hello", "description": "no"}}'
    assert in_capitals("messages.json", extension) == extension.replace("Hello", "HELLO")


PROPERTIES = "# comment\n a = b\nlong: one \\\n    two\nempty=\nargs=It''s {0}\nx y\n"


def test_java_properties() -> None:
    assert in_capitals("a.properties", PROPERTIES) == (
        "# comment\n a = B\nlong: ONE TWO\nempty=\nargs=IT''S {0}\nx Y\n"
    )
    found = read("a.properties", "a=b\n").write(["é\U0001f600"])
    assert found == rb"a=\u00E9\uD83D\uDE00" + b"\n"
    assert properties.javafile.parsestring(read("a.properties", "a=b\n").write(["é"])).units[0].source == "é"
    assert read("a.properties", found).segments[0].text == "é\U0001f600"


def test_strings_of_apple() -> None:
    source = '/* "no" = "no"; */\n"a"  =  "b \\"q\\"\\n";\nkey = "c"; // "d" = "d";\n'
    assert in_capitals("a.strings", source) == source.replace('"b \\"q', '"B \\"Q').replace('"c"', '"C"')
    utf_16 = source.encode("utf-16")
    assert unchanged("a.strings", utf_16) == utf_16


YAML = """# comment
en: &anchor
  plain: one two # note
  'single': 'it''s'
  double: "a\\nb"
  list: [x, "y"]
  number: 3
  block: |
    first line
    second

  folded: >-
    one
    two
  alias: *anchor
"""


def test_yaml_scalars() -> None:
    expected = YAML
    for text in ("one two #", "it''s", '"a\\nb"', "[x", '"y"', "first line", "second"):
        expected = expected.replace(text, text.upper().replace("\\N", "\\n"))
    assert in_capitals("a.yml", YAML) == expected.replace("    one\n    two\n", "    ONE TWO\n")
    assert unchanged("a.yml", YAML) == YAML.encode()
    assert read("a.yml", "a: b").write(["c: d"]) == b'a: "c: d"'


def test_csv_cells() -> None:
    table = 'name;"a ""b"""\r\n3;c, d\r\n'
    assert in_capitals("a.csv", table) == table.upper()
    assert read("a.csv", table).write(["x;y", "z", "4", "e"]) == b'"x;y";"z"\r\n4;e\r\n'
    pairs = 'source,target\n"one, two",\nthree,trois\n'
    found = in_capitals("a.csv", pairs)
    assert found == pairs.replace('"one, two",', '"one, two","ONE, TWO"')
    assert csvl10n.csvfile.parsestring(found.encode()).units[1].target == "trois"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "[" * 100_000),
        ("a.yml", "a: ["),
        ("a.yml", "[" * 20_000),
        ("a.xlf", "<a>"),
        ("a.xlf", "<a>" * 200 + "</a>" * 200),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><resources><string>&b;</string></resources>'),
        ("a.docx", "no archive"),
    ],
)
def test_invalid_documents(name: str, content: str) -> None:
    with pytest.raises(InvalidInput):
        read(name, content)


@pytest.mark.parametrize("text", ["snake_case", "R&D", "Black & white", "&&", "_a _b", "__init__"])
def test_texts_without_an_accelerator(text: str) -> None:
    assert take_accelerator(text) == (text, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.po", PO), ("a.properties", PROPERTIES), ("a.json", JSON), ("a.xml", ANDROID), ("a.resx", RESX)],
)
def test_line_ends_stay(name: str, content: str) -> None:
    dos = content.replace("\n", "\r\n")
    assert "\n" not in in_capitals(name, dos).replace("\r\n", "")
    if not name.endswith(".po"):
        assert unchanged(name, dos) == dos.encode()
        assert texts_of(read(name, dos)) == texts_of(read(name, content))
