"""Damaged documents are refused, or come back as they were."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching import budget
from service.errors import InvalidInput
from tests.service.documents import test_localization as localization
from tests.service.documents import test_pages as pages
from tests.service.documents import test_subtitles as subtitles
from tests.service.documents.checks import capitals, read, texts_of

DOCUMENTS = {
    "a.md": pages.MARKDOWN,
    "a.html": pages.HTML,
    "a.txt": pages.TEXT,
    "a.srt": subtitles.SRT,
    "a.vtt": subtitles.VTT,
    "a.ass": subtitles.ASS,
    "a.xml": localization.ANDROID,
    "a.resx": localization.RESX,
    "a.json": localization.JSON,
    "a.yml": localization.YAML,
    "a.properties": localization.PROPERTIES,
    "a.strings": '/* no */ "a" = "b\\n";\nc = "d";\n',
    "a.csv": 'a,b\n"c ""d""",e\n',
    "a.po": localization.PO,
    "a.xlf": localization.XLIFF,
    "a.ts": localization.QT,
}
FILLED = ("a.po", "a.xlf", "a.ts")
"""Documents in which empty places are filled."""
SYNTAX = [*"<>&\"'\\*[](|`{}#_- :=\r\n", "\r\n", "\n\n", "<b>", "</b>", "```", "\xe9", "\U0001f600"]


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 5), st.lists(st.sampled_from(SYNTAX), max_size=2).map("".join)),
        min_size=1,
        max_size=5,
    )
)
def test_damaged_documents(name: str, edits: list[tuple[float, int, str]]) -> None:
    text = DOCUMENTS[name]
    for place, removed, inserted in edits:
        start = int(place * len(text))
        text = text[:start] + inserted + text[start + removed :]
    try:
        document = read(name, text)
    except InvalidInput:
        return
    if name not in FILLED:
        assert document.write(texts_of(document)) == text.encode()
    document.write([capitals(each) for each in texts_of(document)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.strings", "a" * 200_000),
        ("a.strings", '\\"' * 100_000),
        ("a.strings", "/* " * 50_000),
        ("a.yml", "[" * 200_000),
        ("a.srt", "00:00:01,000 --> 00:00:02,000\nx" + "</i> " * 10_000 + "x"),
        ("a.md", "a <b>" * 10_000),
        ("a.properties", "a" + " " * 200_000 + "\n"),
    ],
)
def test_hostile_documents_take_linear_time(name: str, text: str) -> None:
    own = budget.start(5.0)  # a quadratic expression takes minutes
    try:
        read(name, text)
    except InvalidInput:
        pass
    finally:
        budget.current.set(budget.UNLIMITED)
    assert time.monotonic() < own.deadline
