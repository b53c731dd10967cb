import pytest

from service.errors import InvalidInput
from service.translation.glossary import MAX_TERM, MAX_TERMS, Glossary


def found(terms: dict[str, str], text: str, language: str = "en") -> list[tuple[str, str]]:
    """Each occurrence as it is written, and the term."""
    return [(text[o.start : o.end], o.source) for o in Glossary(terms, language).occurrences(text)]


@pytest.mark.parametrize(
    ("language", "term", "text", "expected"),
    [
        ("en", "dog", "Dogs and a DOG, no hotdog, dogma or dog-ear", ["Dogs", "DOG", "dog"]),
        ("en", "city", "Two cities", ["cities"]),
        ("en", "box", "Boxes and boxers", ["Boxes"]),
        ("en", "knife", "knives", ["knives"]),
        ("en", "pull request", "Pull  requests pull. Request", ["Pull  requests"]),
        ("en", "glass", "The glas is glasses", ["glasses"]),
        ("en", "dog", "The dog's bone", ["dog"]),
        ("fr", "cheval", "Les chevaux du cheval", ["chevaux", "cheval"]),
        ("fr", "pomme de terre", "L'odeur des pommes de terre", ["pommes de terre"]),
        ("fr", "école", "L'école", ["école"]),
        ("de", "Haus", "In den Häusern des Hauses, Haushalt", ["Häusern", "Hauses"]),
        ("de", "Kind", "Kindern ein Kind", ["Kindern", "Kind"]),
        ("cs", "dog", "dogs dog", ["dog"]),
        ("ja", "犬", "白い犬です", ["犬"]),
        ("en", "C++", "C and C++ and c++", ["C++", "c++"]),
    ],
)
def test_forms_of_a_term(language: str, term: str, text: str, expected: list[str]) -> None:
    assert [written for written, _ in found({term: "x"}, text, language)] == expected


def test_longer_terms_are_preferred() -> None:
    terms = {"York": "a", "New York": "b", "York Times paper": "c"}
    assert found(terms, "New York, York and the New York Times paper") == [
        ("New York", "New York"),
        ("York", "York"),
        ("York Times paper", "York Times paper"),
    ]


def test_the_exact_form_is_preferred() -> None:
    assert found({"dog": "a", "dogs": "b"}, "dogs, dog") == [("dogs", "dogs"), ("dog", "dog")]


def test_a_term_in_capitals_occurs_in_capitals_only() -> None:
    assert found({"IT": "TI", "PC": "ordi"}, "It is IT with PCs") == [("IT", "IT"), ("PCs", "PC")]


def test_a_short_word_has_no_other_forms() -> None:
    assert found({"a": "x", "be": "y"}, "as bes") == []


@pytest.mark.parametrize("term", ["", " \n", "x" * (MAX_TERM + 1), "a\x00b"])
def test_refused_terms(term: str) -> None:
    with pytest.raises(InvalidInput, match="a term of the glossary"):
        Glossary({term: "x"}, "en")
    with pytest.raises(InvalidInput, match="a term of the glossary"):
        Glossary({"x": term}, "en")


def test_too_many_terms() -> None:
    with pytest.raises(InvalidInput, match=f"the limit is {MAX_TERMS}"):
        Glossary({str(number): "x" for number in range(MAX_TERMS + 1)}, "en")
