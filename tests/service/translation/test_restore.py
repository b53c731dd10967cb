"""Markup and placeholders stay unchanged, in the right place, and complete.

The tables have 50 cases each, translated by the committed bundle of en-fr, whichever its version. A case of `html.tsv`
holds if all its markup is there, closed in order, and the element encloses the right words.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.attention import AttentionMatrix
from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.conventions import STAND_INS
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.markup.protect import Format, ProtectedText, protect
from service.registry.registry import Registry
from service.runtime import Runtime
from service.text.casing import Truecaser
from service.text.tokenizer import Encoded, Token
from service.translation.engine import Options
from service.translation.restore import join, restore
from service.translation.results import Sentence, Translation
from service.translation.segments import Segment
from service.translation.source_text import SourceReader
from service.translation.translator import Translator
from tests.fakes import doubled, write_translator
from tests.service import networks

TABLES = Path(__file__).parent
VOID = {"br", "hr", "img", "input", "meta"}


def table(name: str) -> list[list[str]]:
    _, *rows = (TABLES / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 50
    return [row.replace("\\n", "\n").split("\t") for row in rows]


@pytest.fixture(scope="module")
def french(real_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "en-fr").symlink_to(real_models / "en-fr")
    registry = Registry(folder, Runtime("cpu", threads=1), Limits())
    registry.load()
    yield registry.translator("en", "fr")
    registry.close()


def translated(translator: Translator, texts: list[str], format: Format, **options: object) -> list[Translation]:
    return asyncio.run(translator.translate(texts, Options(**options), format))  # type: ignore[arg-type]


def check_offsets(translation: Translation, text: str) -> None:
    position = 0
    for sentence in translation.sentences:
        assert position <= sentence.start <= sentence.end
        position = sentence.end
        for tokens, whole in ((sentence.source_tokens, text), (sentence.target_tokens, translation.text)):
            assert all(whole[token.start : token.end] == token.text for token in tokens)
        assert sentence.text in translation.text


class Outline(HTMLParser):
    """The markup of a document, to the letter, and whether it is closed in its order."""

    def __init__(self, document: str):
        super().__init__()
        self.parts: Counter[str] = Counter()
        self.path: list[str] = []
        self.orderly = True
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.parts[self.get_starttag_text() or ""] += 1
        if tag not in VOID:
            self.path.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.parts[self.get_starttag_text() or ""] += 1

    def handle_endtag(self, tag: str) -> None:
        self.parts[f"</{tag}>"] += 1
        if "li" in self.path and tag == "ul":  # li needs no end
            self.path = [open_ for open_ in self.path if open_ != "li"]
        self.orderly &= bool(self.path) and self.path.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.parts[f"<!--{data}-->"] += 1


def test_html_survives(french: Translator) -> None:
    rows = table("html")
    failed = []
    for (text, element, words), translation in zip(
        rows, translated(french, [row[0] for row in rows], "html"), strict=True
    ):
        check_offsets(translation, text)
        before, after = Outline(text), Outline(translation.text)
        assert after.parts == before.parts, translation.text  # never, in no case
        assert after.orderly, translation.text
        around = re.search(re.escape(element) + "(.*?)(</|$)", translation.text, re.DOTALL)
        if around is None or not re.search(words, around[1]):
            failed.append((text, translation.text))
    assert len(failed) <= 0.02 * len(rows), failed


def test_placeholders_survive(french: Translator) -> None:
    rows = table("placeholders")
    for (text, pieces), translation in zip(rows, translated(french, [row[0] for row in rows], "text"), strict=True):
        check_offsets(translation, text)
        for piece, count in Counter(re.findall(r"\{\{ .*? \}\}|\{% .*? %\}|`.*?`|\S+", pieces)).items():
            assert translation.text.count(piece) == count, translation.text  # never lost and never doubled
        if "Tom" not in text:
            assert "Tom" not in translation.text


def test_a_piece_stands_where_it_belongs(french: Translator) -> None:
    texts = ["{{name}} has a dog.", "I live in ${city}.", "Tom knows {{name}}."]
    answers = [translation.text for translation in translated(french, texts, "text")]
    assert answers[0].startswith("{{name}} ")
    assert answers[1].endswith("${city}.")
    assert answers[2].startswith("Tom ") and answers[2].endswith("{{name}}.")


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_attention_is_what_was_asked_for(french: Translator, detail: str, beam_size: int) -> None:
    text = "<p>I see <b>{{name}}</b> and a <i>dog</i>.</p>"
    [translation] = translated(french, [text], "html", attention=detail, beam_size=beam_size)
    [sentence] = translation.sentences
    assert bool(sentence.attention) == (detail != "none")
    for matrix in sentence.attention:
        if matrix.kind == "cross":
            assert matrix.weights.shape == (len(sentence.target_tokens), len(sentence.source_tokens))
    assert "<b>{{name}}</b>" in translation.text
    [full] = translated(french, [text], "html", attention="full", beam_size=beam_size)
    assert full.text == translation.text  # the alignment does not depend on the attention that is returned


def test_html_is_kept_to_the_letter(french: Translator) -> None:
    text = (
        '<DIV\n  Class=x >\n\t<p>The dog\nis  red.</P >\r\n<!-- a --><script>if (a<b) {"</p>"}</script>&nbsp;\n</div\n>'
    )
    [translation] = translated(french, [text], "html")
    [start, end] = (text.index("The"), text.index("</P"))
    assert translation.text.startswith(text[:start]) and translation.text.endswith(text[end:])
    assert translation.text[start : -len(text[end:])] == translated(french, ["The dog is red."], "text")[0].text


def test_special_characters_are_escaped(translator: Translator) -> None:
    [translation] = translated(translator, ["<p>a &amp; b, c &#60; d, &eacute;</p>"], "html")
    assert translation.text.count("<") == translation.text.count(">") == 2
    assert "éé" in translation.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wind &amp; rain", "wwiinndd {} rraaiinn"),
        ("wind <b", "wwiinndd <b"),
        ("wind <!-- rain > no", "wwiinndd <!-- rain > no"),
        ("wind <i>rain <b class='", "wwiinndd <i>rraaiinn <b class='"),
        ("wind &lt;i&gt;", None),
        ("wind </i> rain", "wwiinndd</i> rraaiinn"),
        ("<code>a <code>b</code> c</code> <p>wind", "<code>a <code>b</code> c</code> <p>wwiinndd"),
        ("<div translate=no>a<div>b</div>c</div>wind", "<div translate=no>a<div>b</div>c</div>wwiinndd"),
        ("wind<p><script>never closed", "wwiinndd<p><script>never closed"),
        ("<pre>wind\nrain</pre>wind", "<pre>wwiinndd\nrraaiinn</pre>wwiinndd"),
        ("<!DOCTYPE html><?php x ?><![if IE]>wind", "<!DOCTYPE html><?php x ?><![if IE]>wwiinndd"),
    ],
)
def test_broken_html_is_kept_as_it_is(translator: Translator, text: str, expected: str | None) -> None:
    [translation] = translated(translator, [text], "html")
    check_offsets(translation, text)
    if expected is None:
        assert "<" not in translation.text
    else:
        before, after = expected.split("{}") if "{}" in expected else (expected, "")
        assert translation.text.startswith(before) and translation.text.endswith(after)


@pytest.mark.parametrize("unit", ["a", "<a", "<!--", "<b>", "a <b>", "{", "{x} "])
@pytest.mark.parametrize("format", ["text", "html"])
def test_hostile_texts_take_linear_time(translator: Translator, unit: str, format: Format) -> None:
    def seconds(text: str) -> float:
        start = time.thread_time()
        protected = protect(text, format)
        for segment in translator.segmenter.split(protected):
            restore(protected, segment, "vent", [Token("vent", 0, 4)], [])
        return time.thread_time() - start

    text = (unit * 20_000)[:20_000]
    quarter = min(seconds(text[:5_000] + "@") for _ in range(2))
    assert seconds(text + "@") < max(0.5, 10 * quarter)


@pytest.mark.parametrize("text", ["<p></p>", "<br>", "<!-- a -->", "<p> &nbsp; </p>", "<code>x</code>", "<img src=x>"])
def test_html_without_words_comes_back(translator: Translator, text: str) -> None:
    [translation] = translated(translator, [text], "html", alternatives=2)
    assert translation == Translation(text, [], [text, text])


def test_a_blank_text_comes_back(translator: Translator) -> None:
    formats: list[Format] = ["text", "html"]
    for format in formats:
        assert translated(translator, ["wind <b>rain</b>", "  "], format)[1] == Translation("  ", [], [])


def test_plain_texts_take_the_plain_way(translator: Translator) -> None:
    texts = ["Wind and rain.  No!", "no way", "no - no; a: b"]
    plain = asyncio.run(translator.translate(texts))
    assert [t.text for t in translated(translator, texts, "text")] == [t.text for t in plain]
    assert (
        [t.text for t in translated(translator, texts, "html")]
        == [t.text for t in plain]
        == [doubled(text) for text in texts]
    )


@pytest.mark.parametrize(
    "text",
    ["No <b><i>wind</b> rain</i> no", "No <b>wind <i>rain</b> no", "No <b>wind</i> rain</b> no", "No </b>wind</b>"],
)
@pytest.mark.parametrize("format", ["text", "html"])
def test_tags_in_the_wrong_order_are_all_there(translator: Translator, text: str, format: Format) -> None:
    [translation] = translated(translator, [text], format)
    check_offsets(translation, text)
    assert Counter(re.findall("<.*?>", translation.text)) == Counter(re.findall("<.*?>", text))
    assert re.sub("<.*?>", "", translation.text).split() == doubled(re.sub("<.*?>", "", text)).split()


def test_a_list_with_and_without_markup(translator: Translator) -> None:
    texts = ["Wind.", "<b>Rain</b> and wind", "{{x}}", "No!"]
    found = translated(translator, texts, "text")
    assert [t.text for t in found] == [
        doubled("Wind."),
        f"<b>{doubled('Rain')}</b> {doubled('and wind')}",
        "{{x}}",
        "NNoo!!",
    ]
    for translation, text in zip(found, texts, strict=True):
        check_offsets(translation, text)


def test_a_placeholder_that_is_a_word_of_the_text(french: Translator) -> None:
    [translation] = translated(french, ["Tom knows {{name}}."], "text", alternatives=3)
    for text in [translation.text, *translation.alternatives]:
        assert re.fullmatch(r"Tom .*\{\{name\}\}.*", text), text


def test_alternatives_have_their_pieces(translator: Translator) -> None:
    [translation] = translated(translator, ["wind {{x}} rain. No <b>way</b>!"], "text", alternatives=2)
    assert all(text.count("{{x}}") == 1 for text in translation.alternatives)
    assert all(text.count("<b>") == text.count("</b>") == 1 for text in translation.alternatives)


class Unchanged(Truecaser):
    """Knows no words."""

    def __init__(self) -> None:
        pass

    def is_emphasised(self, word: str) -> bool:
        return False

    def sentence_case(self, text: str) -> Iterator[tuple[int, int, str]]:
        return iter(())


def segment_of(protected: ProtectedText, start: int, end: int, placeholders: Sequence[str]) -> Segment:
    """protected.text[start:end] as a segment with a token for each word."""
    source = SourceReader(placeholders, Unchanged(), "en", "fr").read(protected, start, end)
    mapped = source.mapped
    tokens = [Token(match[0], *mapped.span(*match.span())) for match in re.finditer(r"\S+", mapped.text)]
    return Segment(start, end, source, Encoded([0] * len(tokens), tokens), protected.tags_in(start, end))


PARTS = [
    "wind",
    "Rain",
    "no way",
    ".",
    "!",
    ",",
    "{{x}}",
    "%s",
    "<b>",
    "</b>",
    "<i>",
    "</i>",
    "<1/>",
    "a@b.org",
    "\n",
    "Tom",
    "é",
]


@given(
    parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=14),
    words=st.lists(st.sampled_from(["Vent", "Tom", "pluie", "l'eau", ",", "!", "TomTom", *STAND_INS[:3]]), max_size=9),
    format=st.sampled_from(["text", "html"]),
    seed=st.integers(0, 2**16),
    alternatives=st.integers(0, 2),
    placeholders=st.sampled_from([STAND_INS, ["Tom"] * 16]),
)
def test_nothing_is_lost_whatever_the_network_says(
    parts: list[str], words: list[str], format: Format, seed: int, alternatives: int, placeholders: Sequence[str]
) -> None:
    """Every sentence is answered with any words and any attention."""
    text = " ".join(parts)
    protected = protect(text, format)
    random = np.random.default_rng(seed)
    found = []
    for match in re.finditer(r"[^\n]*\S[^\n]*", protected.text):
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        segment = segment_of(protected, start, start + len(match[0].strip()), placeholders)
        if not segment.source.has_words:
            continue
        answer = " ".join(words)
        tokens = [Token(m[0], *m.span()) for m in re.finditer(r"\S+", answer)]
        sources = segment.encoded.tokens
        matrix = AttentionMatrix("cross", 0, None, random.dirichlet(np.ones(len(sources)), len(tokens)))
        best, targets = restore(protected, segment, answer, tokens, [matrix])
        others = [(restore(protected, segment, answer.replace("Tom", "Thomas"), [], [])[0], -1.0)] * alternatives
        raw_start, raw_end = protected.span(segment.start, segment.end)
        found.append(Sentence(best, 0.0, raw_start, raw_end, [], targets, [matrix], others))
    translation = join(text, found, alternatives)
    check_offsets(translation, text)
    kept = Counter(part for part in parts if re.match(r"<|\{|%|a@", part))
    for result in [translation.text, *translation.alternatives]:
        assert {part: result.count(part) for part in kept} == kept


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    """The fake translator as if it had been taught to copy unknown symbols."""
    special_ids = {"bos": networks.BOS, "eos": networks.EOS, "never": [networks.PAD, networks.BOS]}
    special_ids["unknown"] = networks.UNK
    folder = write_translator(tmp_path_factory.mktemp("copying"), special_ids=special_ids)
    made = Translator(read_bundle(folder, read_manifest(folder, TranslationManifest)), Runtime("cpu", 1), Limits())
    yield made
    made.close()


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_a_network_that_copies_is_given_a_symbol(copying: Translator, beam_size: int, detail: str) -> None:
    text = "wind {{x}} rain, %s and \u2764! No <b>%(n)d</b>"
    [translation] = translated(copying, [text], "text", beam_size=beam_size, attention=detail)
    assert translation.text == "wwiinndd {{x}} rraaiinn,, %s aanndd \u2764!! NNoo <b>%(n)d</b>"
    check_offsets(translation, text)


def test_a_network_that_was_not_taught_is_given_a_name(translator: Translator) -> None:
    [translation] = translated(translator, ["wind {{x}}"], "text")
    assert translation.text == "wwiinndd {{x}}"


MARKUP = st.sampled_from(
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
        "12",
        "a",
        "Wind",
        "NO WAY",
    ]
    + [
        "rain.",
        " ",
        "\n",
        "<b>",
        "</b>",
        "<p>",
        "<code>",
        "<script>",
        "=",
        "'",
        '"',
        "-",
        "!",
        "\u00e9",
        "\x00",
        "&amp;",
    ]
    + [
        "{",
        "}",
        "{x}",
        "{n, plural, one {",
        "} other {",
        "#",
        "\\n",
        "%s",
        "\u201c",
        "\u201d",
        "\ue000",
        "\u00ad",
        "\ufffc",
    ]
    + ["3. ", "A1", "@a", "\U0001f600", "\ud55c", "\ufdfa", "[b]", "[/b]", "Tom"]
)


@given(
    text=st.lists(MARKUP, max_size=25).map("".join),
    format=st.sampled_from(["text", "html"]),
    join_lines=st.booleans(),
    alternatives=st.integers(0, 1),
)
def test_any_text_is_translated(
    copying: Translator, translator: Translator, text: str, format: Format, join_lines: bool, alternatives: int
) -> None:
    for network in (copying, translator):
        options = Options(beam_size=2, alternatives=alternatives)
        [translation] = asyncio.run(network.translate([text], options, format, join_lines=join_lines))
        check_offsets(translation, text)
        assert len(translation.alternatives) == alternatives
        if not any(map(str.isalpha, text)):
            assert translation.text == text


def test_any_numeric_reference_is_accepted(translator: Translator) -> None:
    texts = [f"a &#{'1' * size}; b &#x{'f' * size}" for size in (1, 4, 5, 6, 7, 8, 9, 4301)]
    for text, translation in zip(texts, translated(translator, texts, "html"), strict=True):
        check_offsets(translation, text)


def restored(text: str, answer: str, *rows: list[float]) -> str:
    """The translation of a text of one sentence. rows: attention of the words of the answer."""
    protected = protect(text, "text")
    segment = segment_of(protected, 0, len(protected.text), STAND_INS)
    tokens = [Token(match[0], *match.span()) for match in re.finditer(r"\S+", answer)]
    matrix = AttentionMatrix("cross", 0, None, np.array(rows or [[1.0] * len(segment.encoded.tokens)] * len(tokens)))
    return restore(protected, segment, answer, tokens, [matrix])[0]


def test_a_placeholder_is_replaced_by_its_piece_whatever_the_attention() -> None:
    zero, one = STAND_INS[:2]
    assert restored("see {a} and {b}", f"vois {one} et {zero}", *[[1.0, 0, 0, 0]] * 4) == "vois {b} et {a}"


def test_a_placeholder_that_is_there_twice() -> None:
    zero, one = STAND_INS[:2]
    rows = [[1.0, 0, 0, 0], [0, 0.2, 0.8, 0], [0, 0.9, 0.1, 0], [0, 0, 0, 1.0]]
    assert restored("see {a} and {b}", f"vois {zero} {zero} {one}", *rows) == "vois {a} {b}"


def test_a_placeholder_that_is_not_in_the_source_is_removed() -> None:
    assert restored("see {a}.", f"vois {STAND_INS[0]} {STAND_INS[7]}.") == "vois {a}."


def test_a_missing_stand_in_is_found_by_attention() -> None:
    assert restored("see {a} now", "vois chose maintenant", [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]) == (
        "vois {a} maintenant"
    )
    assert restored("see {a} now", "vois maintenant", [1.0, 0, 0], [0, 0, 1.0]) == "vois maintenant {a}"


def test_capitals_are_restored_around_pieces() -> None:
    protected = protect("SEE {a} NOW!", "text")
    segment = segment_of(protected, 0, len(protected.text), STAND_INS)
    assert restore(protected, segment, f"Vois {STAND_INS[0]} à l'été !", [], [])[0] == "VOIS {a} À L'ÉTÉ !"
