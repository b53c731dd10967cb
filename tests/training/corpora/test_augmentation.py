"""Augmentation: what each change does, that it is the same on both sides, and that nothing held out comes of it."""

import random
import re
from collections import Counter

import pytest

from training.corpora import SentencePair
from training.corpora.augmentation import (
    Augmenter,
    counted,
    joined,
    numbers_anew,
    recased,
    title,
    with_typo,
    without_marks,
    without_stop,
)
from training.corpora.mixing import key
from training.corpora.stand_ins import PIECE, STAND_IN
from training.recipe import Augmentation


def pair(source: str, target: str, domain: str = "ui") -> SentencePair:
    return SentencePair(source, target, (target,), domain)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        (("A dog.", "Un chien."), ("A dog", "Un chien")),
        (("Is it?", "Est-ce ?"), ("Is it", "Est-ce")),
        (("Wait...", "Attends..."), ("Wait...", "Attends...")),
        (("Yes.", "Oui"), ("Yes.", "Oui")),
        ((".", "."), (".", ".")),
    ],
)
def test_the_final_stop_goes_on_both_sides_or_on_none(sides: tuple[str, str], expected: tuple[str, str]) -> None:
    assert without_stop(*sides) == expected


def test_case_changes_on_both_sides_and_never_inside_what_has_to_stay() -> None:
    assert recased("The café.", "Le café.", str.upper) == ("THE CAFÉ.", "LE CAFÉ.")
    assert recased("Open {file}.", "Ouvrez {file}.", str.upper) == ("Open {file}.", "Ouvrez {file}.")
    assert recased("Open \ue003.", "Ouvrez \ue003.", str.upper) == ("OPEN \ue003.", "OUVREZ \ue003.")
    assert title("l'année d’après") == "L'année D’après"


def test_numbers_are_drawn_anew_alike_with_their_signs_left() -> None:
    source, target = numbers_anew("27 of 1,299.50 on day 1", "27 sur 1 299,50 le jour 1", random.Random(0))
    assert re.findall(r"\d+", source) == re.findall(r"\d+", target)
    assert re.sub(r"\d", "9", source) == "99 of 9,999.99 on day 9" and source.endswith("day 1")
    assert re.sub(r"\d", "9", target) == "99 sur 9 999,99 le jour 9"
    assert source != "27 of 1,299.50 on day 1"
    assert numbers_anew("20 dogs", "vingt chiens", random.Random(0)) == ("20 dogs", "vingt chiens")


def test_numbers_of_one_digit_stay_several_and_leading_zeros_stay() -> None:
    for seed in range(50):
        source, target = numbers_anew("5 dogs at 09:30", "5 chiens à 09:30", random.Random(seed))
        assert source[0] in "23456789" and source[10] == "0"
        assert re.findall(r"\d+", source) == re.findall(r"\d+", target)


@pytest.mark.parametrize("piece", ["%d", "%1$d", "%n", "{count}", "%{count}", "{{count}}", "%(num)d"])
def test_a_placeholder_of_a_number_becomes_one(piece: str) -> None:
    source, target = counted(f"{piece} files", f"{piece} fichiers", random.Random(1))
    number = source.removesuffix(" files")
    assert int(number) >= 2 and target == f"{number} fichiers"


def test_a_placeholder_of_a_name_is_no_number() -> None:
    assert counted("%s in {name} %done", "%s dans {name} %done", random.Random(0))[0] == "%s in {name} %done"


def test_a_slip_changes_one_long_word_of_the_source_a_little() -> None:
    made = {with_typo("The animal is in Paris", random.Random(seed)) for seed in range(40)}
    assert len(made) > 10
    assert all(abs(len(text) - 22) <= 1 and text.startswith("The ") and text.endswith(" is in Paris") for text in made)
    assert with_typo("Tom is in it", random.Random(0)) == "Tom is in it"
    assert with_typo("Open {file} please", random.Random(0)) == "Open {file} please"


def test_marks_are_missing() -> None:
    assert without_marks("Où est l'élève ? Straße, 한국") == "Ou est l'eleve ? Straße, 한국"


def test_short_ones_are_joined_alike() -> None:
    sides = [("Name", "Nom"), ("Save", "Enregistrer")]
    for seed in range(20):
        source, target = joined(sides, random.Random(seed))
        assert source.removeprefix("Name").removesuffix("Save") == target.removeprefix("Nom").removesuffix(
            "Enregistrer"
        )
    assert joined([("A.", "B."), ("C?", "D ?")], random.Random(0)) == ("A. C?", "B. D ?")


EVERYTHING = Augmentation(**dict.fromkeys(Augmentation.model_fields, 1.0) | {"title": 0.0, "lower": 0.0})
PAIRS = [
    pair("Open {file} in 20 seconds.", "Ouvrez {file} dans 20 secondes."),
    pair("Tom has 31 dogs.", "Tom a 31 chiens."),
    pair("Cancel", "Annuler"),
    pair("<b>Read</b> the manual.", "<b>Lisez</b> le manuel."),
    pair("%d", "%d"),
]


def test_all_changes_together_keep_what_both_sides_share() -> None:
    for seed in range(50):
        made = Augmenter(EVERYTHING, random.Random(seed)).augment(PAIRS)
        assert len(made) == len(PAIRS)
        for source, target in made:
            assert Counter(STAND_IN.findall(source)) == Counter(STAND_IN.findall(target))
            assert PIECE.search(source) or (source == source.upper() and target == target.upper())
            assert STAND_IN.sub("", source).strip() and STAND_IN.sub("", target).strip()


def test_what_was_done_is_counted_and_drawn_anew_by_the_seed() -> None:
    pairs = [pair(f"Row {n} is here.", f"La ligne {n} est ici.") for n in range(20, 1020)]
    augmenter = Augmenter(Augmentation(stop=0.3), random.Random(7))
    made = augmenter.augment(pairs)
    assert augmenter.counts == {"stop": sum(not source.endswith(".") for source, _ in made)}
    assert 230 < augmenter.counts["stop"] < 370
    assert made == Augmenter(Augmentation(stop=0.3), random.Random(7)).augment(pairs)
    assert made != Augmenter(Augmentation(stop=0.3), random.Random(8)).augment(pairs)


def test_nothing_is_done_where_nothing_is_asked() -> None:
    assert Augmenter(Augmentation(), random.Random(0)).augment(PAIRS) == [(p.source, p.target) for p in PAIRS]


def test_no_change_makes_a_held_out_sentence() -> None:
    pairs = [pair(f"{n} years", f"{n} ans") for n in range(10, 100)] * 20
    held_out = {f"{n} years" for n in range(10, 100, 2)}
    seen = {key(p.source) for p in pairs if key(p.source) not in held_out}
    kept = [p for p in pairs if key(p.source) in seen]
    made = Augmenter(Augmentation(numbers=1.0, upper=0.2), random.Random(0), held_out).augment(kept)
    assert held_out.isdisjoint(key(source) for source, _ in made)
    assert not held_out.isdisjoint(
        key(source) for source, _ in Augmenter(Augmentation(numbers=1.0), random.Random(0)).augment(kept)
    )
