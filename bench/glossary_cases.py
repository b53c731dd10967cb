"""200 sentences with three glossary terms each, in English, French and German, made from templates.

The articles of the references agree with the translations that the glossary requires, some of which have another gender
than the usual word.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENTENCES = 200
SLOT = re.compile(r"\{(\w+) (\d)\}")
VOWELS = "aeiouéèêhâîœ"

Word = tuple[str, str]
"""A noun and its gender: m, f or n."""


@dataclass(frozen=True)
class Noun:
    """A noun in English, with its usual and its required translations."""

    en: str
    fr: Word
    fr_term: Word
    de: Word
    de_term: Word


def _nouns(table: str) -> list[Noun]:
    """Lines of `en | fr | required fr | de | required de`, where fr and de are `noun gender`."""
    nouns = []
    for line in table.strip().splitlines():
        en, *words = (cell.strip() for cell in line.split("|"))
        nouns.append(Noun(en, *[(word.rsplit(" ", 1)[0], word.rsplit(" ", 1)[1]) for word in words]))
    return nouns


ACTORS = _nouns("""
man | homme m | monsieur m | Mann m | Kerl m
woman | femme f | dame f | Frau f | Dame f
girl | fille f | gamine f | Mädchen n | Göre f
boy | garçon m | gosse m | Junge m | Bub m
dog | chien m | toutou m | Hund m | Köter m
cat | chat m | minette f | Katze f | Kater m
farmer | fermier m | cultivateur m | Bauer m | Landwirt m
teacher | professeur m | maîtresse f | Lehrer m | Lehrkraft f
soldier | soldat m | militaire m | Soldat m | Kämpfer m
child | enfant m | gamin m | Kind n | Sprössling m
police officer | policier m | gendarme m | Polizist m | Gendarm m
old lady | vieille dame f | mamie f | alte Dame f | Oma f
tennis player | joueur de tennis m | tennisman m | Tennisspieler m | Tennisprofi m
""")
THINGS = _nouns("""
ball | balle f | baballe f | Ball m | Spielball m
car | voiture f | bagnole f | Auto n | Wagen m
shirt | chemise f | liquette f | Hemd n | Oberteil n
bicycle | vélo m | bicyclette f | Fahrrad n | Drahtesel m
camera | appareil photo m | caméra f | Kamera f | Fotoapparat m
guitar | guitare f | gratte f | Gitarre f | Klampfe f
hat | chapeau m | couvre-chef m | Hut m | Kopfbedeckung f
bag | sac m | sacoche f | Tasche f | Beutel m
book | livre m | bouquin m | Buch n | Band m
phone | téléphone m | portable m | Telefon n | Handy n
ice cream | glace f | crème glacée f | Eis n | Eiscreme f
fire truck | camion de pompiers m | fourgon d'incendie m | Feuerwehrauto n | Löschfahrzeug n
""")
PLACES = _nouns("""
street | rue f | chaussée f | Straße f | Gasse f
beach | plage f | grève f | Strand m | Küste f
kitchen | cuisine f | cuisinette f | Küche f | Kochnische f
park | parc m | jardin public m | Park m | Stadtpark m
shop | magasin m | échoppe f | Laden m | Geschäft n
house | maison f | maisonnette f | Haus n | Gebäude n
garden | jardin m | potager m | Garten m | Schrebergarten m
restaurant | restaurant m | brasserie f | Restaurant n | Gaststätte f
forest | forêt f | futaie f | Wald m | Forst m
city | ville f | métropole f | Stadt f | Metropole f
school | école f | collège m | Schule f | Lehranstalt f
train station | gare f | station f | Bahnhof m | Hauptbahnhof m
""")

TEMPLATES = Path(__file__).with_name("glossary_templates.tsv")
"""Lines of an English, a French and a German sentence with slots: an article and the number of a noun."""

FRENCH = {
    "le": ("le ", "la "), "un": ("un ", "une "), "du": ("du ", "de la "), "au": ("au ", "à la "),
    "dun": ("d'un ", "d'une "), "ce": ("ce ", "cette "), "mon": ("mon ", "ma "), "ton": ("ton ", "ta "), "no": ("", ""),
}  # fmt: skip
"""Article -> its masculine and feminine form."""
BEFORE_VOWEL = {"le": "l'", "du": "de l'", "au": "à l'", "mon": "mon ", "ton": "ton "}
GERMAN = {
    "der": "der die das", "den": "den die das", "dem": "dem der dem", "des": "des der des", "ein": "ein eine ein",
    "einen": "einen eine ein", "einem": "einem einer einem", "diesen": "diesen diese dieses",
    "diesem": "diesem dieser diesem", "mein": "mein meine mein", "dein": "dein deine dein",
    "deinen": "deinen deine dein", "no": "",
}  # fmt: skip
"""Article -> its masculine, feminine and neuter form."""


def _french(article: str, word: Word) -> str:
    noun, gender = word
    if noun[0].lower() in VOWELS and article in BEFORE_VOWEL:
        return BEFORE_VOWEL[article] + noun
    if noun[0].lower() in VOWELS and article == "ce" and gender == "m":
        return f"cet {noun}"
    return FRENCH[article]["mf".index(gender)] + noun


def _german(article: str, word: Word) -> str:
    noun, gender = word
    forms = GERMAN[article].split()
    return f"{forms['mfn'.index(gender)]} {noun}" if forms else noun


def _english(article: str, noun: str) -> str:
    return noun


@dataclass(frozen=True)
class Case:
    """A sentence with its glossary, and references with the usual and with the required translations."""

    source: str
    glossary: dict[str, str]
    usual: str
    required: str
    usual_terms: list[str]
    same_gender: bool
    """True if the required translations have the gender of the usual ones."""


def _fill(template: str, words: Sequence[Any], form: Callable[[str, Any], str]) -> str:
    filled = SLOT.sub(lambda match: form(match[1], words[int(match[2])]), template)
    filled = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", filled) if form is _english else filled
    filled = filled.replace("in dem ", "im ")
    return filled[0].upper() + filled[1:]


def cases(source: str, target: str) -> list[Case]:
    """The sentences of a language pair, of which one language is English.

    Into English, the usual English word is the required one, and the source has the words of the other glossary.
    """
    templates = [line.split("\t") for line in TEMPLATES.read_text(encoding="utf-8").splitlines()]
    found = []
    for number in range(SENTENCES):
        nouns = [
            ACTORS[number % len(ACTORS)],
            THINGS[(number // 3 + number) % len(THINGS)],
            PLACES[(number // 5 + 2 * number) % len(PLACES)],
        ]
        english, french, german = templates[number % len(templates)]
        foreign, form, lang = (french, _french, "fr") if "fr" in (source, target) else (german, _german, "de")
        usual = [getattr(noun, lang) for noun in nouns]
        terms = [getattr(noun, f"{lang}_term") for noun in nouns]
        same = [gender for _, gender in usual] == [gender for _, gender in terms]
        from_english = _fill(english, [noun.en for noun in nouns], _english)
        if source == "en":
            glossary = {noun.en: term[0] for noun, term in zip(nouns, terms, strict=True)}
            required = _fill(foreign, terms, form)
            found.append(
                Case(from_english, glossary, _fill(foreign, usual, form), required, [w for w, _ in usual], same)
            )
        else:
            wanted = [ENGLISH[noun.en] for noun in nouns]
            glossary = {word: term for (word, _), term in zip(usual, wanted, strict=True)}
            required = _fill(english, wanted, _english)
            text = _fill(foreign, usual, form)
            found.append(Case(text, glossary, from_english, required, [noun.en for noun in nouns], True))
    return found


ENGLISH = {
    "man": "gentleman", "woman": "lass", "girl": "young miss", "boy": "lad", "dog": "hound", "cat": "kitty",
    "farmer": "grower", "teacher": "instructor", "soldier": "trooper", "child": "youngster", "police officer": "cop",
    "old lady": "granny", "tennis player": "tennis pro", "ball": "sphere", "car": "automobile", "shirt": "blouse",
    "bicycle": "pushbike", "camera": "camcorder", "guitar": "lute", "hat": "cap", "bag": "satchel", "book": "tome",
    "phone": "handset", "ice cream": "gelato", "fire truck": "fire engine", "street": "avenue", "beach": "shore",
    "kitchen": "galley", "park": "common", "shop": "store", "house": "cottage", "garden": "orchard",
    "restaurant": "diner", "forest": "woods", "city": "metropolis", "school": "academy", "train station": "railway hub",
}  # fmt: skip
"""English noun -> the translation that the glossary requires."""
