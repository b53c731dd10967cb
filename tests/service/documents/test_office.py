"""Documents of offices and books. python-docx, openpyxl, python-pptx and odfpy write and read them."""

import io
import zipfile
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from odf.opendocument import OpenDocumentText, load
from odf.text import A, H, P, Span, Tab
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from service.documents import package
from service.errors import InvalidInput, PayloadTooLarge
from tests.service.documents.checks import capitals_of, read, texts_of, unchanged

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(document: Any) -> bytes:
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def field(kind: str) -> str:
    return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'


def word() -> bytes:
    document = docx.Document()
    document.add_heading("The dog", 1)
    paragraph = document.add_paragraph("The dog ")
    paragraph.add_run("is ")
    paragraph.add_run("very good").bold = True
    paragraph.add_run(". Yes.\tNo.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text = "left"
    document.sections[0].header.paragraphs[0].text = "header"
    french = run("nk", '<w:lang w:val="fr"/>')
    link = f'<w:hyperlink w:anchor="x">{run("a li")}{french}</w:hyperlink>'
    page = f"{field('begin')}<w:r><w:instrText> PAGE </w:instrText></w:r>{field('separate')}{run('7')}{field('end')}"
    document.element.body.insert(0, parse_xml(f"<w:p {W}>{run('See ')}{link}{run(' on page ')}{page}{run('.')}</w:p>"))
    contents = f"{field('begin')}<w:r><w:instrText>TOC</w:instrText></w:r>{field('separate')}{run('Chapter')}"
    document.element.body.insert(1, parse_xml(f"<w:p {W}>{contents}</w:p>"))
    document.element.body.insert(2, parse_xml(f"<w:p {W}>{run('Last')}{field('end')}</w:p>"))
    return saved(document)


def test_word() -> None:
    content = word()
    document = read("a.docx", content)
    assert texts_of(document) == [
        "See <g0>a link</g0> on page <code 1></code>.",
        "<br 0/><br 1/><br 2/>Chapter",
        "Last<br 0/>",
        "The dog",
        "The dog is <g0>very good</g0>. Yes.<br 1/>No.",
        "left",
        "header",
    ]
    found = docx.Document(io.BytesIO(capitals_of("a.docx", content)))
    before = docx.Document(io.BytesIO(content))
    assert [p.text for p in found.paragraphs] == [p.text.upper() for p in before.paragraphs]
    assert [p._p.style for p in found.paragraphs] == [p._p.style for p in before.paragraphs]
    assert [(r.text, r.bold) for r in found.paragraphs[4].runs][1] == ("VERY GOOD", True)
    assert found.tables[0].cell(0, 0).text == "LEFT" and found.sections[0].header.paragraphs[0].text == "HEADER"
    assert found.paragraphs[0].hyperlinks[0].text == "A LINK"


def test_moved_and_lost_elements_of_word() -> None:
    document = read("a.docx", word())
    translations = texts_of(document)
    translations[0] = "Page <code 1></code>&amp;: <g0>lien</g0>"
    translations[4] = "Le <g0>tr\xe8s bon"  # neither closed nor complete
    found = docx.Document(io.BytesIO(document.write(translations)))
    assert found.paragraphs[0].text == "Page 7&: lien"
    assert found.paragraphs[0].hyperlinks[0].text == "lien"
    assert found.paragraphs[4].text == "\tLe tr\xe8s bon"
    assert found.paragraphs[3].text == "The dog"


def test_other_parts_stay() -> None:
    content = word()
    before, after = (zipfile.ZipFile(io.BytesIO(data)) for data in (content, capitals_of("a.docx", content)))
    assert after.namelist() == before.namelist()
    changed = {name for name in after.namelist() if after.read(name) != before.read(name)}
    assert changed == {"word/document.xml", "word/header1.xml"}
    same = zipfile.ZipFile(io.BytesIO(unchanged("a.docx", content)))
    assert all(same.read(name) == before.read(name) for name in before.namelist())


def test_excel() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Name", "Price"])
    sheet.append(["a dog", 3])
    sheet.append([CellRichText("a ", TextBlock(InlineFont(b=True), "big"), " dog"), '=A2&"x"'])
    sheet.add_table(openpyxl.worksheet.table.Table(displayName="T", ref="A1:B3"))
    content = saved(book)
    document = read("a.xlsx", content)
    assert sorted(texts_of(document)) == ["a <g0>big</g0> dog", "a dog"]
    found = openpyxl.load_workbook(io.BytesIO(capitals_of("a.xlsx", content)), rich_text=True).active
    assert [[cell.value for cell in row] for row in found.iter_rows(max_row=2)] == [["Name", "Price"], ["A DOG", 3]]
    assert str(found["A3"].value) == "A BIG DOG" and found["B3"].value == '=A2&"x"'
    assert found["A3"].value[1].font.b


def test_power_point() -> None:
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[0])
    slide.shapes.title.text = "My title"
    slide.placeholders[1].text_frame.text = "sub\vtitle\nnext"
    slide.notes_slide.notes_text_frame.text = "notes"
    content = saved(slides)
    found = pptx.Presentation(io.BytesIO(capitals_of("a.pptx", content))).slides[0]
    assert [shape.text_frame.text for shape in found.shapes] == ["MY TITLE", "SUB\vTITLE\nNEXT"]
    assert found.notes_slide.notes_text_frame.text == "NOTES"


def test_open_document() -> None:
    text = OpenDocumentText()
    text.text.addElement(H(outlinelevel=1, text="Heading"))
    paragraph = P(text="The ")
    paragraph.addElement(Span(text="big "))
    link = A(href="https://example.org", type="simple")
    link.addElement(Span(text="dog"))
    paragraph.addElement(link)
    paragraph.addElement(Tab())
    paragraph.addText("end")
    text.text.addElement(paragraph)
    content = saved_odf(text)
    document = read("a.odt", content)
    assert texts_of(document) == ["Heading", "The <g0>big </g0><g1><g2>dog</g2></g1><br 3/>end"]
    found = load(io.BytesIO(capitals_of("a.odt", content)))
    assert str(found.text.getElementsByType(P)[0]) == "THE BIG DOGEND"
    assert str(found.text.getElementsByType(A)[0]) == "DOG"
    lost = load(io.BytesIO(document.write(["Titre", "Le chien"])))
    assert str(lost.text.getElementsByType(P)[0]) == "Le chien"


def saved_odf(document: Any) -> bytes:
    content = io.BytesIO()
    document.write(content)
    return content.getvalue()


def archive(**parts: str | bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, part in parts.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), part)
    return content.getvalue()


def test_epub() -> None:
    page = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><p>A <b>dog</b></p></body></html>"
    labels = "<ncx><navMap><navPoint><navLabel><text>Start</text></navLabel></navPoint></navMap></ncx>"
    content = archive(mimetype="application/epub+zip", a__b_xhtml=page, toc_ncx=labels)
    found = zipfile.ZipFile(io.BytesIO(capitals_of("a.epub", content)))
    assert found.namelist() == ["mimetype", "a/b.xhtml", "toc.ncx"]
    assert found.read("a/b.xhtml").decode() == page.replace("A <b>dog", "A <b>DOG")
    assert found.read("toc.ncx").decode() == labels.replace("Start", "START")


def test_hostile_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    entities = f'<!DOCTYPE a [<!ENTITY a "b">]><w:document {W}><w:p><w:r><w:t>&a;</w:t></w:r></w:p></w:document>'
    with pytest.raises(InvalidInput, match="entities"):
        read("a.docx", archive(word__document_xml=entities))
    with pytest.raises(InvalidInput, match="not valid XML"):
        read("a.docx", archive(word__document_xml="<a>"))
    with pytest.raises(InvalidInput, match="not valid XML"):
        read("a.docx", archive(word__document_xml="<w:document/>"))
    with pytest.raises(InvalidInput, match="document type"):
        read("a.docx", archive(word__document_xml=f"<!DOCTYPE a><w:document {W}/>"))
    damaged = bytearray(archive(word__document_xml="<a>" + "x" * 1_000))
    damaged[60:70] = b"\xff" * 10
    with pytest.raises(InvalidInput):
        read("a.docx", bytes(damaged))
    with pytest.raises(PayloadTooLarge, match="unpacked"):
        read("a.docx", archive(word__document_xml=b" " * (package.MAX_UNPACKED_BYTES + 1)))
    monkeypatch.setattr(package, "MAX_PARTS", 3)
    with pytest.raises(PayloadTooLarge, match="parts"):
        read("a.docx", archive(**{f"part{number}": "" for number in range(5)}))
    with pytest.raises(PayloadTooLarge, match="parts"):
        read("a.docx", archive(**{f"part{number}": "" for number in range(20)}))
