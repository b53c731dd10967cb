"""Paragraphs of Office Open XML: runs of text with properties, in containers such as links.

Adjacent runs with the same properties are one text. The most frequent properties of a paragraph or container have no
tag; runs with others, containers, and elements without text are inline elements, which the translator places. Then the
paragraph gets new runs: `<w:r>` with the properties of the element around the text.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

from lxml import etree

from service.batching import budget
from service.documents.document import Document, Segment
from service.documents.inline import Inline, Node, parse, plain
from service.documents.xml import check_xml
from service.errors import InvalidInput, excerpt

Xml = Any
"""An element of lxml."""
PRESERVE = "{http://www.w3.org/XML/1998/namespace}space"


@dataclass(frozen=True)
class Names:
    """Qualified names of the elements of a paragraph."""

    paragraphs: tuple[str, ...]
    run: str
    properties: str
    text: str
    kept: frozenset[str]
    """Elements of a paragraph that keep their place: its properties."""
    containers: frozenset[str] = frozenset()
    """Elements with runs inside."""
    breaks: frozenset[str] = frozenset()
    """Elements that end a sentence."""
    inner: str = ""
    """Element of a container that holds the runs, if not the container itself."""
    dropped: frozenset[str] = frozenset()
    """Elements that mean nothing after the text has changed, such as marks of spelling errors."""
    ignored: frozenset[str] = frozenset()
    """Properties of runs without an effect on how the text looks: elements, and names of attributes."""
    field_part: str = ""
    """Element of a run that begins, separates or ends a field."""
    field_type: str = ""
    """Its attribute."""


def read_part(content: bytes, names: Names, skipped: Callable[[str], bool] = lambda text: False) -> Document:
    """The paragraphs of a part; not those whose text is skipped. Raises InvalidInput."""
    root = parse_xml(content)
    paragraphs = []
    for element in root.iter(*names.paragraphs):
        budget.check()
        paragraph = Paragraph(element, names)
        if any(char.isalpha() for char in plain(str(paragraph.inline))) and not skipped(plain(str(paragraph.inline))):
            paragraphs.append(paragraph)

    return paragraph_document(root, paragraphs, content)


class InlineParagraph(Protocol):
    """A paragraph of an XML part, as inline tags and text."""

    inline: Inline

    def replace(self, translation: str) -> None:
        """Give the paragraph the text of a translation."""


def paragraph_document(root: Xml, paragraphs: Sequence[InlineParagraph], content: bytes) -> Document:
    """A document of the paragraphs below `root`. It is written as `content` if no paragraph changes."""

    def write(translations: Sequence[str]) -> bytes:
        changed = False
        for paragraph, translation in zip(paragraphs, translations, strict=True):
            budget.check()
            if translation != str(paragraph.inline):
                paragraph.replace(translation)
                changed = True
        return to_bytes(root) if changed else content

    return Document([Segment(str(paragraph.inline), "html") for paragraph in paragraphs], write)


def parse_xml(content: bytes) -> Xml:
    """The root of a document without entities. Raises InvalidInput."""
    check_xml(content)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise InvalidInput(f"the document is not valid XML: {excerpt(error)}") from None
    # `check_xml` does not find a document type in every encoding.
    if root.getroottree().docinfo.doctype:
        raise InvalidInput("a part of the document has a document type")
    return root


def to_bytes(root: Xml) -> bytes:
    tree = root.getroottree()
    encoded: bytes = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", standalone=tree.docinfo.standalone)
    return encoded


@dataclass
class _Element:
    """The content of an inline element."""

    elements: list[Xml] = field(default_factory=list)
    """Elements without text, or one container."""
    properties: Xml | None = None
    """The properties of runs, or of most runs of a container."""
    is_container: bool = False
    is_style: bool = False


class Paragraph:
    """A paragraph as a segment, and its change into a translation."""

    def __init__(self, element: Xml, names: Names):
        self.element, self.names = element, names
        self.inline = Inline()
        self._elements: list[_Element] = []
        self._base = self._read(element)

    def _read(self, parent: Xml) -> Xml | None:
        """Add the content of a paragraph or container. Returns the properties of most of its text."""
        items = [*self._items(parent)]
        weights: Counter[bytes] = Counter()
        properties: dict[bytes, Xml | None] = {}
        for run, text in items:
            if text:
                found = None if run is parent else run.find(self.names.properties)
                key = self._key(found)
                properties.setdefault(key, found)
                weights[key] += len(text)
        base = weights.most_common(1)[0][0] if weights else b""
        current, number = base, -1
        for item, text in items:
            key = base
            if text:
                key = self._key(None if item is parent else item.find(self.names.properties))
            if key != current and current != base:
                self.inline.close(number)
            if key != current and key != base:
                self._elements.append(_Element(properties=properties[key], is_style=True))
                number = self.inline.open()
            current = key
            if text:
                self.inline.text(text)
            else:
                self._add_element(item)
        if current != base:
            self.inline.close(number)
        return properties.get(base)

    def _key(self, properties: Xml | None) -> bytes:
        """The same bytes for properties that look the same."""
        if properties is None:
            return b""
        ignored = self.names.ignored
        attributes = sorted(pair for pair in properties.items() if pair[0] not in ignored)
        children = [etree.tostring(child, with_tail=False) for child in properties if child.tag not in ignored]
        return repr(attributes).encode() * bool(attributes) + b"".join(children)

    def _add_element(self, item: Any) -> None:
        elements = item if isinstance(item, list) else [item]
        tag = elements[0].tag
        added = _Element(elements)
        self._elements.append(added)
        if tag in self.names.containers:
            added.is_container = True
            number = self.inline.open()
            added.properties = self._read(self._inner(elements[0]))
            self.inline.close(number)
        elif self._ends_sentence(elements):
            self.inline.line_break()
        elif len(elements) > 1:
            self.inline.word()  # a field, such as a page number
        else:
            self.inline.mark()

    def _ends_sentence(self, elements: list[Xml]) -> bool:
        """True for a tab, a line break, and a part of a field that begins or ends in another paragraph."""
        if elements[0].tag in self.names.breaks:
            return True
        parts = {child.tag for child in elements[0]}
        return len(elements) == 1 and bool(parts & (self.names.breaks | {self.names.field_part}))

    def _inner(self, container: Xml) -> Xml:
        found = container.find(self.names.inner) if self.names.inner else None
        return container if found is None else found

    def _items(self, parent: Xml) -> Iterator[tuple[Any, str]]:
        """The content of a paragraph or container: (run, text), or (element or elements, "").

        A run with several texts and breaks is divided into runs with one of them.
        """
        names = self.names
        children: list[tuple[Any, str]] = []
        for child in list(parent):
            if child.tag in names.kept or child.tag == names.properties or not isinstance(child.tag, str):
                continue
            if child.tag in names.dropped:
                parent.remove(child)
            elif child.tag == names.text:
                children.append((parent, child.text or ""))
            elif child.tag == names.run:
                children += self._divided(child)
            else:
                children.append((child, ""))
        yield from self._with_fields([(item, text) for item, text in children if text or item is not parent])

    def _divided(self, run: Xml) -> list[tuple[Xml, str]]:
        contents = [child for child in run if child.tag != self.names.properties]
        if len(contents) > 1:
            found: list[Xml] = []
            for content in contents[1:]:
                if content.tag in self.names.dropped:
                    run.remove(content)
                    continue
                part = self._new_run(run.find(self.names.properties))
                part.append(content)
                (found[-1] if found else run).addnext(part)
                found.append(part)
            return [pair for part in (run, *found) for pair in self._divided(part)]
        if contents and contents[0].tag == self.names.text:
            return [(run, contents[0].text or "")] if contents[0].text else []
        return [(run, "")] if contents else []

    def _with_fields(self, items: list[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
        """Join the runs of a field that begins and ends among the items to one item."""
        ends: dict[int, int] = {}
        """The first item of a field -> its last one."""
        opened: list[int] = []
        for index, (item, _) in enumerate(items):
            kind = self._field_kind(item)
            if kind == "begin":
                opened.append(index)
            elif kind == "end" and opened:
                ends[opened.pop()] = index
        index = 0
        while index < len(items):
            end = ends.get(index, index)
            if end > index:
                yield [item for item, _ in items[index : end + 1]], ""
            else:
                yield items[index]
            index = end + 1

    def _field_kind(self, item: Any) -> str:
        if not self.names.field_part or item.tag != self.names.run:
            return ""
        part = item.find(self.names.field_part)
        return "" if part is None else str(part.get(self.names.field_type))

    def replace(self, translation: str) -> None:
        """Give the paragraph the text of a translation. Without the tags of all elements, its text is one run behind
        them."""
        root = parse(translation, self.inline.count)
        if root is None:
            root = Node(-1, [Node(number) for number, each in enumerate(self._elements) if not each.is_style])
            root.children.append(plain(translation))
        last = [child for child in self.element if child.tag in self.names.kept and child is not self.element[0]]
        self._clear(self.element)
        self._fill(self.element, root, self._base)
        for child in last:
            self.element.append(child)

    def _clear(self, parent: Xml) -> None:
        for child in list(parent):
            if child.tag not in self.names.kept and child.tag != self.names.properties:
                parent.remove(child)

    def _fill(self, parent: Xml, node: Node, properties: Xml | None) -> None:
        for child in node.children:
            if isinstance(child, str):
                self._add_text(parent, child, properties)
                continue
            element = self._elements[child.number]
            if element.is_style:
                self._fill(parent, child, element.properties)
                continue
            for each in element.elements:
                parent.append(each)
            if element.is_container:
                inner = self._inner(element.elements[0])
                self._clear(inner)
                self._fill(inner, child, element.properties)

    def _add_text(self, parent: Xml, text: str, properties: Xml | None) -> None:
        run = self._new_run(properties)
        content = etree.SubElement(run, self.names.text)
        content.text = text
        if text != text.strip():
            content.set(PRESERVE, "preserve")
        parent.append(run)

    def _new_run(self, properties: Xml | None) -> Xml:
        run = self.element.makeelement(self.names.run)
        if properties is not None:
            run.append(deepcopy(properties))
        return run
