import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.markup.attributes import ReplacedText, find_attributes
from tests.service.markup.test_html import PARTS


def values(raw: str) -> list[tuple[str, str]]:
    """The attributes as in the document, and their texts."""
    return [(raw[each.start : each.end], each.text) for each in find_attributes(raw)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('<img src="title" alt="A &amp; B">', [('"A &amp; B"', "A & B")]),
        ("<INPUT PlaceHolder = 'a name' value='no'>", [("'a name'", "a name")]),
        ("<p title=one\naria-label=two data-title=no>", [("one", "one"), ("two", "two")]),
        ("<svg aria-label='a'><g title='no'></g></svg>", [("'a'", "a")]),
        ("<textarea placeholder='a'><p title='no'></textarea>", [("'a'", "a")]),
        ("<meta name=Description content='a'><meta name=x content='no'>", [("'a'", "a")]),
        ('<p translate="no" title="no"><b title="no"></b></p><b title="a">', [('"a"', "a")]),
        ("<!-- <p title='no'> --><script>'<p title=\"no\">'</script>", []),
        ('<img alt="" title> <img alt="12"> alt="no"', []),
        ('<item title="no"><xs:p title="no">', []),
    ],
)
def test_visible_attributes(raw: str, expected: list[tuple[str, str]]) -> None:
    assert values(raw) == expected


@pytest.mark.parametrize("text", ["c'est", 'le "nom"', "a < b & c", "plain"])
@pytest.mark.parametrize("raw", ['<p title="x">', "<p title='x'>", "<p title=x>"])
def test_rendered_values_are_read_again(raw: str, text: str) -> None:
    [attribute] = find_attributes(raw)
    written = raw[: attribute.start] + attribute.render(text) + raw[attribute.end :]
    assert [each.text for each in find_attributes(written)] == [text]


@given(st.lists(PARTS | st.sampled_from([' title="a"', " alt=", "<p ", "img"]), max_size=30).map("".join))
def test_attributes_of_any_string_are_in_order(raw: str) -> None:
    places = [place for each in find_attributes(raw) for place in (each.start, each.end)]
    assert places == sorted(places)


def test_offsets_of_a_replaced_text() -> None:
    raw = "ab[x]cd[y]ef"
    found = ReplacedText.of(raw, [(2, 5, "[long]"), (7, 10, "''")])
    assert found.text == "ab[long]cd''ef"
    for part in ("ab", "cd", "ef"):
        place = found.text.index(part)
        start, end = found.original(place, place + 2)
        assert raw[start:end] == part
