"""Articles and other words before a noun that agree with it: their forms in French, German and English."""

import re

VOWELS = "aeiou\u00e0\u00e2\u00e9\u00e8\u00ea\u00eb\u00ee\u00ef\u00f4\u00f6\u00fb\u0153\u00e6"

FORMS = {
    "en": ["a|an"],
    "fr": [
        "le|la|l'",
        "un|une",
        "de|d'",
        "du|de la|de l'",
        "au|\u00e0 la|\u00e0 l'",
        "ce|cet|cette",
        "mon|ma",
        "ton|ta",
        "son|sa",
        "quel|quelle",
        "tout|toute",
        "aucun|aucune",
        "nouveau|nouvel|nouvelle",
        "un nouveau|un nouvel|une nouvelle",
        "tous les|toutes les",
    ],
    "de": ["im|in der", "am|an der", "zum|zur", "vom|von der", "beim|bei der", "ins|in die|in den"],
}
"""Language -> groups of forms, of which the gender, the number and the case of the noun select one."""
CHANGE_COST = {"de": 2.0}
"""Language -> log-probability that another form than the present one costs; for others it is DEFAULT_COST. Networks
know the gender of few German nouns. Measured by bench/glossary.py."""
DEFAULT_COST = 1.0
ELIDED = ("l'", "d'")
BEFORE_VOWEL = {"cet", "nouvel", "un nouvel", "an"}
"""Forms before a vowel, besides elided ones."""
BEFORE_CONSONANT = {"le", "la", "de", "du", "de la", "au", "\u00e0 la", "ce", "nouveau", "un nouveau", "ma", "ta", "sa"}

GERMAN_CASES = {
    "der": "die das dem des",
    "die": "der das den",
    "das": "die der den",
    "den": "die das",
    "dem": "der",
    "des": "der",
}
"""A German article -> those of other genders in the same case, of all cases that it may be."""
GERMAN_STEMS = "ein kein mein dein sein ihr unser".split()
GERMAN_ENDINGS = {"": "e en", "e": " en", "en": "e ", "em": "er", "er": "em es", "es": "er"}
"""The same for the endings of `ein` and its like; "" is no ending."""
GERMAN_STRONG = {"er": "e es em", "e": "er es en", "es": "e er en", "en": "e es", "em": "er"}
"""The same for the endings of `dieser` and its like."""


def _german() -> dict[str, list[str]]:
    """A German word before a noun -> its possible forms."""
    found = {form: [form, *others.split()] for form, others in GERMAN_CASES.items()}
    for stems, endings in ((GERMAN_STEMS, GERMAN_ENDINGS), ("dies jed welch".split(), GERMAN_STRONG)):
        for stem in stems:
            for ending, others in endings.items():
                found[stem + ending] = [stem + other for other in (ending, *others.split(" "))]
    return found


_GROUPS = {language: [group.split("|") for group in groups] for language, groups in FORMS.items()}
_GROUP_OF = {language: {form: group for group in groups for form in group} for language, groups in _GROUPS.items()}
_GROUP_OF["de"] |= _german()
OTHERS = {
    "en": "the this that these those my your his her its our their some any every each no of",
    "fr": "les des aux ces mes tes ses nos vos leurs leur notre votre chaque quelques plusieurs",
    "de": "des den die eine vielen alle allen",
}
"""Other words before a noun. They stay as they are."""
_ARTICLES = {
    language: {*OTHERS[language].split(), *(word for form in forms for word in form.split())}
    for language, forms in _GROUP_OF.items()
}
_BEFORE = re.compile(r"(?:(?<!\w)(\w+) (\w+|\w')|(?<!\w)(\w+|\w'))$")


def alternatives(before: str, noun: str, language: str) -> tuple[str, list[str]]:
    """The words at the end of a text that agree with a noun behind it, and their forms that the noun allows.

    Forms include the space before the noun; the present form is the first, if the noun allows it. The first result is
    empty if there are no such words.

    >>> alternatives("Je vois une ", "école", "fr"), alternatives("près de la ", "jardin", "fr")
    (('une ', ['une ', 'un ']), ('de la ', ['de la ', 'du ']))
    """
    groups = _GROUP_OF.get(language, {})
    words = before.rstrip(" ").replace("\u2019", "'")
    match = _BEFORE.search(words)
    if match is None:
        return "", []
    one = match[2] or match[3]
    two = f"{match[1]} {one}" if match[1] else ""
    found = next((form for form in (two, one) if form.lower() in groups), "")
    if not found:
        return "", []
    forms = [form for form in groups[found.lower()] if _fits(form, noun, language)] or [found.lower()]
    forms.sort(key=lambda form: form != found.lower())
    if found[0].isupper():
        forms = [form[0].upper() + form[1:] for form in forms]
    start = len(words) - len(found)
    return before[start:], [form if form.endswith("'") else f"{form} " for form in forms]


def is_article(word: str, language: str) -> bool:
    """True for a word, with the space or apostrophe behind it, that belongs before a noun.

    >>> is_article("L'", "fr"), is_article("les ", "fr"), is_article("chat ", "fr")
    (True, True, False)
    """
    return word.strip().lower().replace("\u2019", "'") in _ARTICLES.get(language, ())


def _fits(form: str, noun: str, language: str) -> bool:
    """True if a form is possible before the first letter of a noun."""
    first = noun[0].lower()
    if language not in ("fr", "en") or first == "h":
        return True
    if first in VOWELS:
        return form not in BEFORE_CONSONANT or language == "en"
    return form not in BEFORE_VOWEL and not form.endswith(ELIDED) or language == "en"
