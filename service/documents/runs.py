"""Paragraphs of Office Open XML: runs of text with properties, in containers such as links.

Adjacent runs with the same properties are one text. The most frequent properties of a paragraph or container have no
tag; runs with others, containers, and elements without text are inline elements, which the translator places. Then the
paragraph gets new runs: `<w:r>` with the properties of the element around the text.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any

from lxml import etree

from service.batching import budget
from service.documents.document import Document
from service.documents.fields import Field, Item, has_text, join_fields
from service.documents.inline import Inline, Node, parse, plain
from service.documents.parts import (
    InlineParagraph,
    Label,
    Xml,
    attribute_labels,
    has_letters,
    paragraph_document,
    parse_xml,
    shown,
)

STRICT = "http://purl.oclc.org/ooxml/"
"""Begin of the namespaces of the strict version."""
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
    field_code: str = ""
    """Element of a run with the code of a field."""
    simple_field: tuple[str, str] = ("", "")
    """An element that is a field, and its attribute with the code."""
    words: frozenset[str] = frozenset()
    """Elements that take the place of a word, such as the number of a slide."""
    characters: Mapping[str, str] = field(default_factory=dict)
    """Elements that are a character."""
    base_texts: Mapping[str, str] = field(default_factory=dict)
    """Elements with a text and its pronunciation, and their element with the text."""
    has_lines: bool = False
    """A line break in a text is shown."""
    labels: frozenset[str] = frozenset()
    """Elements outside of paragraphs whose text is shown."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Elements with attributes that are shown."""

    def strict(self) -> "Names":
        """The names in a file of the strict version of the format (ISO 29500-1), which has other namespaces."""

        def renamed(value: Any) -> Any:
            if isinstance(value, str):
                return value.replace("http://schemas.openxmlformats.org/", STRICT).replace("/2006/", "/")
            if isinstance(value, Mapping):
                return {renamed(key): renamed(each) for key, each in value.items()}
            return type(value)(map(renamed, value)) if isinstance(value, (tuple, frozenset)) else value

        return Names(**{each.name: renamed(getattr(self, each.name)) for each in fields(self)})


def read_part(
    content: bytes,
    names: Names,
    skipped: Callable[[str], bool] = lambda text: False,
    label: Callable[[Xml], InlineParagraph] = Label,
) -> Document:
    """The paragraphs and labels of a part; not those whose text is skipped. Raises InvalidInput."""
    root = parse_xml(content)
    if STRICT in root.tag:
        names = names.strict()
    found: list[InlineParagraph] = []
    for element in list(root.iter(*names.paragraphs, *names.labels, *names.attributes)):
        budget.check()
        if element.tag in names.paragraphs:
            found.append(Paragraph(element, names))
        elif element.tag in names.labels:
            found.append(label(element))
        else:
            found += attribute_labels(element, names.attributes[element.tag])
    return paragraph_document(root, [each for each in found if has_letters(each) and not skipped(shown(each))], content)


@dataclass
class _Element:
    """The content of an inline element."""

    elements: list[Xml] = field(default_factory=list)
    """Elements without text, or one container."""
    properties: Xml | None = None
    """The properties of runs, or of most runs of a container."""
    closing: list[Xml] = field(default_factory=list)
    """Elements behind the text of a field."""
    is_container: bool = False
    is_field: bool = False
    is_style: bool = False


class Paragraph:
    """A paragraph as a segment, and its change into a translation."""

    def __init__(self, element: Xml, names: Names):
        self.element, self.names = element, names
        self.inline = Inline()
        self._elements: list[_Element] = []
        self._base = self._read(self._items(element), element)

    def _read(self, items: list[Item], parent: Xml) -> Xml | None:
        """Add the content of a paragraph, container or field. Returns the properties of most of its text."""
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
                self._add_element(item, parent)
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

    def _add_element(self, item: Any, parent: Xml) -> None:
        if isinstance(item, Field):
            self._add_field(item, parent)
            return
        added = _Element([item])
        self._elements.append(added)
        if item.tag in self.names.containers or self._is_text_field(item):
            added.is_container = True
            number = self.inline.open()
            inner = self._inner(item)
            added.properties = self._read(self._items(inner), inner)
            self.inline.close(number)
        elif self._ends_sentence(item):
            self.inline.line_break()
        elif item.tag in self.names.words or item.tag == self.names.simple_field[0]:
            self.inline.word()
        else:
            self.inline.mark()

    def _add_field(self, item: Field, parent: Xml) -> None:
        if not item.has_text:
            self._elements.append(_Element(item.runs()))
            self.inline.word()
            return
        added = _Element(item.opening, closing=item.closing, is_field=True)
        self._elements.append(added)
        number = self.inline.open()
        added.properties = self._read(item.result, parent)
        self.inline.close(number)

    def _is_text_field(self, element: Xml) -> bool:
        name, code = self.names.simple_field
        return bool(element.tag == name and has_text(element.get(code, "")))

    def _ends_sentence(self, element: Xml) -> bool:
        """True for a tab, a line break, and a part of a field that begins or ends in another paragraph."""
        if element.tag in self.names.breaks:
            return True
        if element.tag != self.names.run:
            return False
        ends = self.names.breaks | {self.names.field_part}
        return any(child.tag in ends or (child.tag == self.names.text and child.text == "\n") for child in element)

    def _inner(self, container: Xml) -> Xml:
        found = container.find(self.names.inner) if self.names.inner else None
        return container if found is None else found

    def _items(self, parent: Xml) -> list[Item]:
        """The content of a paragraph or container. A run with several texts and breaks is divided into runs with one of
        them.
        """
        names = self.names
        items: list[Item] = []
        for child in list(parent):
            if child.tag in names.kept or child.tag == names.properties or not isinstance(child.tag, str):
                continue
            if child.tag in names.dropped:
                parent.remove(child)
            elif child.tag == names.text:
                items += self._lines(parent, child.text or "", None)
            elif child.tag == names.run:
                items += self._divided(child)
            else:
                items.append((child, ""))
        items = [(item, text) for item, text in items if text or item is not parent]
        return join_fields(items, names.field_part, names.field_type, names.field_code) if names.field_part else items

    def _divided(self, run: Xml) -> list[Item]:
        properties = run.find(self.names.properties)
        contents = [child for child in run if child.tag != self.names.properties]
        parts = [run]
        for content in contents[1:]:
            parts.append(self._new_run(properties))
            parts[-1].append(content)
            parts[-2].addnext(parts[-1])
        items: list[Item] = []
        for part, content in zip(parts, contents, strict=False):
            if content.tag == self.names.text:
                items += self._lines(part, content.text or "", properties)
            elif content.tag in self.names.characters:
                items.append((part, self.names.characters[content.tag]))
            elif content.tag in self.names.base_texts:
                base = content.find(self.names.base_texts[content.tag])
                items += [] if base is None else self._items(base)
            elif content.tag not in self.names.dropped:
                items.append((part, ""))
        return items

    def _lines(self, parent: Xml, text: str, properties: Xml | None) -> list[Item]:
        """A text, or its lines and line breaks."""
        if not self.names.has_lines or "\n" not in text:
            return [(parent, text)] if text else []
        items: list[Item] = []
        for line in text.splitlines(keepends=True):
            if words := line.rstrip("\r\n"):
                items.append((parent, words))
            if len(words) < len(line):
                end = self._new_run(properties)
                self._set_text(end, "\n")
                items.append((end, ""))
        return items

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
            elif element.is_field:
                self._fill(parent, child, element.properties)
            for each in element.closing:
                parent.append(each)

    def _add_text(self, parent: Xml, text: str, properties: Xml | None) -> None:
        run = self._new_run(properties)
        self._set_text(run, text)
        parent.append(run)

    def _set_text(self, run: Xml, text: str) -> None:
        content = etree.SubElement(run, self.names.text)
        content.text = text
        if text != text.strip():
            content.set(PRESERVE, "preserve")

    def _new_run(self, properties: Xml | None) -> Xml:
        run = self.element.makeelement(self.names.run)
        if properties is not None:
            run.append(deepcopy(properties))
        return run
