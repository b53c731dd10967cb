"""Kinds of content that LibreOffice writes, as small parts of the same structure."""

import io
import zipfile

import pytest

from service.documents.fields import MAX_NESTED
from service.errors import InvalidInput
from tests.service.documents.checks import capitals_of, read, texts_of, unchanged

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"
OPEN = (
    " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "text", "table", "presentation")
    )
    + ' xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0"'
)


def archive(parts: dict[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, part in parts.items():
            packed.writestr(name, part)
    return content.getvalue()


def word(paragraph: str, namespace: str = WORD) -> bytes:
    part = f'<w:document xmlns:w="{namespace}"><w:body><w:p>{paragraph}</w:p></w:body></w:document>'
    return archive({"word/document.xml": part})


def run(content: str) -> str:
    return f"<w:r>{content}</w:r>"


def text(words: str) -> str:
    return run(f'<w:t xml:space="preserve">{words}</w:t>')


def mark(kind: str) -> str:
    return run(f'<w:fldChar w:fldCharType="{kind}"/>')


def field(code: str, result: str) -> str:
    return f"{mark('begin')}{run(f'<w:instrText>{code}</w:instrText>')}{mark('separate')}{result}{mark('end')}"


def part_of(content: bytes, name: str = "word/document.xml") -> str:
    return zipfile.ZipFile(io.BytesIO(content)).read(name).decode()


def flat(body: str) -> str:
    return f"<office:document {OPEN}><office:body>{body}</office:body></office:document>"


def test_text_in_fields_of_word() -> None:
    """A link and a table of contents are translated; the number of a page is copied with its field."""
    page = field(" PAGEREF a ", text("7"))
    contents = field(' TOC \\o "1-3" ', field(' HYPERLINK "https://example.org/a" ', text("First dog ") + page))
    content = word(text("See ") + contents + text(" now"))
    document = read("a.docx", content)
    assert texts_of(document) == ["See <g0><g1>First dog <code 2></code></g1></g0> now"]
    found = part_of(document.write(["<g0><g1>Chien <code 2></code></g1></g0> ici"]))
    assert [part in found for part in ("Chien ", "7", "https://example.org/a", "TOC")] == [True] * 4
    assert found.count('"begin"') == found.count('"separate"') == found.count('"end"') == 3
    order = ["TOC", "HYPERLINK", "Chien", "PAGEREF", ">7<", '"end"', " ici"]
    assert sorted(order, key=found.index) == order


def test_a_field_in_one_element() -> None:
    simple = '<w:fldSimple w:instr="{}">' + text("{}") + "</w:fldSimple>"
    content = word(simple.format("HYPERLINK x", "the dog") + text(" on page ") + simple.format(" PAGE ", "7"))
    assert texts_of(read("a.docx", content)) == ["<g0>the dog</g0> on page <code 1></code>"]


@pytest.mark.parametrize(
    ("paragraph", "segments"),
    [
        (
            run("<w:t>non</w:t><w:noBreakHyphen/><w:t>stop hy</w:t><w:softHyphen/><w:t>phen</w:t>"),
            ["non\u2011stop hyphen"],
        ),
        (run(f"<w:ruby><w:rt>{text('city')}</w:rt><w:rubyBase>{text('Tokyo')}</w:rubyBase></w:ruby>"), ["Tokyo"]),
        (f"<w:moveTo>{text('moved')}</w:moveTo>", ["<g0>moved</g0>"]),
        (f"<w:bdo><w:customXml>{text('inside')}</w:customXml></w:bdo>", ["<g0><g1>inside</g1></g0>"]),
        (mark("begin") * 3 + text("open"), ["<br 0/><br 1/><br 2/>open"]),
        (mark("end") * 3 + text("closed"), ["<br 0/><br 1/><br 2/>closed"]),
    ],
)
def test_elements_of_word(paragraph: str, segments: list[str]) -> None:
    content = word(paragraph)
    assert texts_of(read("a.docx", content)) == segments
    assert unchanged("a.docx", content) == content
    assert segments[0].rpartition(">")[2].upper() in part_of(capitals_of("a.docx", content))


def test_deeply_nested_fields() -> None:
    with pytest.raises(InvalidInput, match="nested fields"):
        read("a.docx", word(mark("begin") * (MAX_NESTED + 1)))


def test_other_files_of_word() -> None:
    strict = word(text("the dog"), "http://purl.oclc.org/ooxml/wordprocessingml/main")
    assert "THE DOG" in part_of(capitals_of("a.docx", strict))
    assert "purl.oclc.org" in part_of(capitals_of("a.docx", strict))
    assert "THE DOG" in part_of(capitals_of("a.DOCM", word(text("the dog"))))
    described = f'<w:drawing xmlns:d="{DRAWING}/wordprocessingDrawing"><d:docPr name="a" descr="{{}}"/></w:drawing>'
    content = word(run(described.format("a dog")) + run(described.format("dog.png")))
    assert texts_of(read("a.docx", content)) == ["a dog"]
    assert 'descr="A DOG"' in part_of(capitals_of("a.docx", content))


def test_charts() -> None:
    """The title and the names of categories; not the numbers, and not their errors."""
    points = "<c:cat><c:pt><c:v>the dog</c:v></c:pt></c:cat><c:val>"
    points += "<c:pt><c:v>1</c:v></c:pt><c:pt><c:v>#N/A</c:v></c:pt></c:val>"
    title = "<a:p><a:r><a:t>The title</a:t></a:r></a:p>"
    chart = f'<c:chart xmlns:c="{DRAWING}/chart" xmlns:a="{DRAWING}/main">{title}{points}</c:chart>'
    for name, part in (
        ("a.docx", "word/charts/chart1.xml"),
        ("a.pptx", "ppt/charts/chart1.xml"),
        ("a.xlsx", "xl/charts/chart1.xml"),
    ):
        content = archive({part: chart})
        assert texts_of(read(name, content)) == ["The title", "the dog"]
        found = part_of(capitals_of(name, content), part)
        assert found.endswith(chart.replace("The title", "THE TITLE").replace("the dog", "THE DOG"))


def test_comments_and_numbers_of_slides() -> None:
    comment = '<p:cm xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"><p:text>a dog</p:text></p:cm>'
    number = '<a:fld type="slidenum"><a:t>1</a:t></a:fld>'
    slide = f'<a:p xmlns:a="{DRAWING}/main"><a:r><a:t>Slide </a:t></a:r>{number}<a:r><a:t> here</a:t></a:r></a:p>'
    content = archive({"ppt/comments/comment1.xml": comment, "ppt/slides/slide1.xml": slide})
    assert texts_of(read("a.pptx", content)) == ["a dog", "Slide <code 0></code> here"]
    assert "<p:text>A DOG</p:text>" in part_of(capitals_of("a.pptx", content), "ppt/comments/comment1.xml")


def workbook(sheet: str, *texts: str) -> bytes:
    strings = "".join(f"<si><t>{each}</t></si>" for each in texts)
    return archive(
        {
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}">{sheet}</worksheet>',
            "xl/sharedStrings.xml": f'<sst xmlns="{SHEET}">{strings}</sst>',
            "xl/comments1.xml": f'<comments xmlns="{SHEET}"><comment><text><t>look</t></text></comment></comments>',
        }
    )


def test_texts_that_formulas_name_stay() -> None:
    formula = "<c><f>IF(A1=&quot;Yes&quot;,1,2)</f></c>"
    formula += "<dataValidation><formula1>&quot;red,blue&quot;</formula1></dataValidation>"
    content = workbook(formula, "yes", "blue", "dog")
    assert texts_of(read("a.xlsx", content)) == ["dog", "look"]


def test_lines_headers_and_hints_of_sheets() -> None:
    header = "<oddHeader>&amp;C&amp;&quot;Arial,Bold&quot;The R&amp;&amp;D list&amp;RPage &amp;P</oddHeader>"
    hint = '<dataValidation prompt="choose"/>'
    content = workbook(header + hint, "a dog\nand a cat")
    document = read("a.xlsx", content)
    assert texts_of(document) == [
        *("<br 0/><x1/>The R&amp;D list<br 2/>Page <code 3></code>", "choose"),
        *("a dog<br 0/>and a cat", "look"),
    ]
    found = capitals_of("a.xlsx", content)
    sheet = part_of(found, "xl/worksheets/sheet1.xml")
    assert '&amp;C&amp;"Arial,Bold"THE R&amp;&amp;D LIST&amp;RPAGE &amp;P' in sheet and 'prompt="CHOOSE"' in sheet
    strings = part_of(found, "xl/sharedStrings.xml")
    assert strings.index("A DOG") < strings.index('<t xml:space="preserve">\n</t>') < strings.index("AND A CAT")
    lost = document.write(["La liste", "choisir", "un chien", "voir"])
    assert "The R&amp;&amp;D list" in part_of(lost, "xl/worksheets/sheet1.xml")


def test_fields_and_spaces_of_open_document() -> None:
    number = "<text:page-number>1</text:page-number>"
    spaces = '<text:s text:c="3"/>'
    body = f"<text:p>Page {number} of\u00a0it</text:p><text:p>{spaces}a dog</text:p><text:p>one{spaces}two</text:p>"
    document = read("a.fodt", flat(body))
    assert texts_of(document) == ["Page <code 0></code> of\u00a0it", "   a dog", "one   two"]
    found = document.write(["<code 0></code> Page", "   un chien", "un   deux"]).decode()
    assert f"<text:p>{number} Page</text:p>" in found
    assert f"<text:p>{spaces}un chien</text:p>" in found
    assert '<text:p>un <text:s text:c="2"/>deux</text:p>' in found


def test_labels_of_open_document() -> None:
    body = (
        "<text:tracked-changes><text:p>removed</text:p></text:tracked-changes>"
        "<presentation:footer-decl>the footer</presentation:footer-decl>"
        "<svg:desc>a dog</svg:desc><office:chart><svg:desc>'My dogs'.A1:A3</svg:desc></office:chart>"
        "<text:p><text:ruby><text:ruby-base>Tokyo</text:ruby-base><text:ruby-text>city</text:ruby-text></text:ruby></text:p>"
    )
    assert texts_of(read("a.fodp", flat(body))) == ["the footer", "a dog", "Tokyo"]


def test_cells_of_open_document() -> None:
    """Text that follows from a value or a formula stays, and text that a formula names."""
    formula = "of:=IF([.A1]=&quot;Yes&quot;;1;2)"
    cells = (
        '<table:table-cell office:value-type="date"><text:p>2 January</text:p></table:table-cell>'
        f'<table:table-cell table:formula="{formula}"><text:p>sum</text:p></table:table-cell>'
        '<table:table-cell office:value-type="string"><text:p>yes</text:p></table:table-cell>'
        '<table:table-cell office:value-type="string" office:string-value="dog"><text:p>dog</text:p></table:table-cell>'
    )
    assert texts_of(read("a.fods", flat(cells))) == ["dog"]
    found = capitals_of("a.fods", flat(cells)).decode()
    assert '<table:table-cell office:value-type="string"><text:p>DOG</text:p>' in found


def test_files_that_are_no_readable_document() -> None:
    with pytest.raises(InvalidInput, match="no part with text"):
        read("a.docx", archive({"notes.txt": "hello"}))
    with pytest.raises(InvalidInput, match="encrypted"):
        read("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    with pytest.raises(InvalidInput, match="encrypted"):
        read("a.odt", archive({"META-INF/manifest.xml": "<encryption-data/>", "content.xml": b"\x00\x01"}))
    pages: dict[str, str | bytes] = {
        "a.xhtml": b"\x80\x81",
        "META-INF/encryption.xml": '<CipherReference URI="a.xhtml"/>',
    }
    with pytest.raises(InvalidInput, match="encrypted"):
        read("a.epub", archive(pages))


def test_a_part_in_utf_16() -> None:
    part = f'<?xml version="1.0" encoding="UTF-16"?><w:p xmlns:w="{WORD}">{text("the dog")}</w:p>'.encode("utf-16")
    assert "THE DOG" in part_of(capitals_of("a.docx", archive({"word/document.xml": part})))
