import pytest

from service.text.articles import alternatives, is_article


@pytest.mark.parametrize(
    ("language", "before", "noun", "words", "forms"),
    [
        ("fr", "Je vois une ", "chat", "une ", ["une ", "un "]),
        ("fr", "L'", "gamine", "L'", ["Le ", "La "]),
        ("fr", "près de l'", "jardin", "de l'", ["du ", "de la "]),
        ("fr", "près du ", "école", "du ", ["de l'"]),
        ("fr", "devant le ", "héros", "le ", ["le ", "la ", "l'"]),
        ("fr", "ce ", "arbre", "ce ", ["cet ", "cette "]),
        ("fr", "C’est l’", "arbre", "l’", ["l'"]),
        ("en", "I see a ", "ox", "a ", ["a ", "an "]),
        ("de", "mit dem ", "Frau", "dem ", ["dem ", "der "]),
        ("de", "Ich sehe einen ", "Frau", "einen ", ["einen ", "eine ", "ein "]),
        ("de", "im ", "Stadt", "im ", ["im ", "in der "]),
        ("de", "mit diesem ", "Frau", "diesem ", ["diesem ", "dieser "]),
        ("fr", "très ", "chat", "", []),
        ("cs", "le ", "chat", "", []),
        ("fr", "", "chat", "", []),
    ],
)
def test_alternatives(language: str, before: str, noun: str, words: str, forms: list[str]) -> None:
    assert alternatives(before, noun, language) == (words, forms)


def test_is_article() -> None:
    assert is_article("Les ", "fr") and is_article("d’", "fr") and is_article("Einer ", "de")
    assert not is_article("Les ", "de") and not is_article("chat ", "fr")
