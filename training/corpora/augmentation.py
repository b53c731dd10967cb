"""Augmentation of sentence pairs: case, final stops, numbers, stand-ins, typing errors, joined segments."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from training.corpora.corpus import SentencePair
from training.corpora.mixing import key
from training.corpora.stand_ins import PIECE, STAND_IN, hide_words, protect_pieces, shared_once, strip_tags
from training.recipe import Augmentation

Sides = tuple[str, str]
DIGITS = re.compile(r"\d+")
COUNT = re.compile(
    r"%(?:\d+\$)?[diun](?!\w)|%\((?:n|num|count)\)[ds](?!\w)|%?\{(?:n|num|count|number|total)\}|\{\{ ?count ?\}\}"
)
"""Matches a placeholder for a number."""
STOPS = ".!?"
JOINABLE_WORDS = 6


def without_stop(source: str, target: str) -> Sides:
    """Remove the final full stop, exclamation mark or question mark of both sides, if both have the same.

    >>> without_stop("Where is it?", "Où est-ce ?")
    ('Where is it', 'Où est-ce')
    """
    if len(source) < 2 or source[-1] not in STOPS or not target.endswith(source[-1]) or source[-2] in STOPS:
        return source, target
    return source[:-1].rstrip(), target[:-1].rstrip()


def recased(source: str, target: str, change: Callable[[str], str]) -> Sides:
    """Change the case of both sides. A pair with placeholders or code is not changed."""
    if PIECE.search(source) or PIECE.search(target):
        return source, target
    return change(source), change(target)


def title(text: str) -> str:
    """Write each word with a capital.

    >>> title("it's a dog-house")
    "It's A Dog-House"
    """
    return re.sub(r"(?<![\w'’])\w", lambda match: match[0].upper(), text)


def counted(source: str, target: str, generator: random.Random) -> Sides:
    """Replace each number placeholder that occurs once on both sides by a random number above 1.

    >>> source, target = counted("%d files", "%d fichiers", random.Random(0))
    >>> source.removesuffix(" files") == target.removesuffix(" fichiers") != "%d"
    True
    """
    for piece in shared_once(COUNT, source, target):
        number = str(round(10 ** generator.uniform(0.31, 4.5)))
        source, target = source.replace(piece, number), target.replace(piece, number)
    return source, target


def numbers_anew(source: str, target: str, generator: random.Random) -> Sides:
    """Replace every number by a random one, the same on both sides. 0 and 1 stay, because they decide the grammar.

    Pairs whose sides have different numbers are not changed.
    """
    runs = Counter(DIGITS.findall(source))
    if not runs or runs != Counter(DIGITS.findall(target)):
        return source, target
    drawn = {run: run if run in ("0", "1") else other_number(run, generator) for run in runs}
    return (
        DIGITS.sub(lambda match: drawn[match[0]], source),
        DIGITS.sub(lambda match: drawn[match[0]], target),
    )


def other_number(run: str, generator: random.Random) -> str:
    """Return a random number with the same count of digits. A leading 0 stays."""
    if len(run) == 1:
        return generator.choice("23456789")
    first = "0" if run[0] == "0" else generator.choice("123456789")
    return first + "".join(generator.choice("0123456789") for _ in run[1:])


def slip(word: str, generator: random.Random) -> str:
    """Return the word with one typing error: two letters swapped, one missing, one doubled or one wrong."""
    place = generator.randrange(len(word) - 1)
    return generator.choice(
        [
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + word[place + 1 :],
            word[: place + 1] + word[place:],
            word[:place] + generator.choice("abcdefghijklmnopqrstuvwxyz") + word[place + 1 :],
        ]
    )


def with_typo(text: str, generator: random.Random) -> str:
    """Return the text with a typing error in a random word of four letters or more."""
    words = [match for match in re.finditer(r"[^\W\d_]{4,}", text) if match[0].islower()]
    if not words or PIECE.search(text):
        return text
    word = generator.choice(words)
    return text[: word.start()] + slip(word[0], generator) + text[word.end() :]


def without_marks(text: str) -> str:
    """Return the text without diacritics.

    >>> without_marks("Où est le garçon ?")
    'Ou est le garcon ?'
    """
    letters = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in letters if unicodedata.category(c) != "Mn"))


def joined(pairs: Sequence[Sides], generator: random.Random) -> Sides:
    """Join several short pairs. Sentences are joined by a space, labels by a random separator."""
    source, target = pairs[0]
    for other_source, other_target in pairs[1:]:
        ends = source[-1] in STOPS and target[-1] in STOPS
        between = " " if ends else generator.choice([" ", ". ", ", ", " - ", ": ", " / ", "; "])
        source, target = source + between + other_source, target + between + other_target
    return source, target


class Augmenter:
    """Applies random changes to the pairs of an epoch. `counts` has the number of applied changes by name."""

    def __init__(self, options: Augmentation, generator: random.Random, held_out: set[str] | None = None):
        self.options = options
        self.generator = generator
        self.held_out = held_out or set()
        self.counts: Counter[str] = Counter()

    def augment(self, pairs: Sequence[SentencePair]) -> list[Sides]:
        """Return the changed pairs, one for each pair.

        A pair stays unchanged if the change results in a held-out source.
        """
        short = [pair for pair in pairs if len(pair.source.split()) <= JOINABLE_WORDS]
        found = []
        for pair in pairs:
            sides = (pair.source, pair.target)
            if len(pair.source.split()) <= JOINABLE_WORDS and self.draws(self.options.joined):
                others = self.generator.choices(short, k=self.generator.choice((1, 1, 2)))
                sides = joined([sides, *((other.source, other.target) for other in others)], self.generator)
                self.counts["joined"] += 1
            changed = self.changed(*sides)
            leaks = changed != sides and self.held_out and key(changed[0]) in self.held_out
            found.append(sides if leaks else changed)
        return found

    def draws(self, share: float) -> bool:
        return self.generator.random() < share

    def changed(self, source: str, target: str) -> Sides:
        """Return a pair after its random changes."""
        options, generator = self.options, self.generator
        steps: list[tuple[str, float, Callable[[str, str], Sides]]] = [
            ("counts", options.counts, lambda s, t: counted(s, t, generator)),
            ("numbers", options.numbers, lambda s, t: numbers_anew(s, t, generator)),
            ("tags", options.tags, strip_tags),
            ("pieces", options.pieces, lambda s, t: protect_pieces(s, t, generator)),
            ("words", options.words, lambda s, t: hide_words(s, t, generator)),
            ("stop", options.stop, without_stop),
            ("marks", options.marks, lambda s, t: (without_marks(s), t)),
            ("typos", options.typos, lambda s, t: (with_typo(s, generator), t)),
            self.case(),
        ]
        for name, share, change in steps:
            if not self.draws(share):
                continue
            made = change(source, target)
            # A change must not leave only stand-ins.
            if made != (source, target) and STAND_IN.sub("", made[0]).strip() and STAND_IN.sub("", made[1]).strip():
                source, target = made
                self.counts[name] += 1
        return source, target

    def case(self) -> tuple[str, float, Callable[[str, str], Sides]]:
        """Return one random change of case and the probability of any change of case."""
        options = self.options
        cases: dict[str, tuple[float, Callable[[str], str]]] = {
            "upper": (options.upper, str.upper),
            "title": (options.title, title),
            "lower": (options.lower, str.lower),
        }
        shares = [share for share, _ in cases.values()]
        if not sum(shares):
            return "case", 0.0, lambda s, t: (s, t)
        [name] = self.generator.choices(list(cases), shares)
        return name, sum(shares), lambda s, t: recased(s, t, cases[name][1])
