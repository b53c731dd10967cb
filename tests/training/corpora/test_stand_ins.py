"""Stand-ins: what takes one, and that both sides have the same."""

import random

import pytest

from service.bundle.conventions import STAND_INS
from training.corpora.stand_ins import (
    PIECE,
    STAND_IN,
    hide_words,
    protect_pieces,
    replace_pieces,
    strip_tags,
)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "%s",
            "%1$s",
            "%(name)s",
            "%1",
            "{name}",
            "{0}",
            "{{name}}",
            "{{{raw}}}",
            "%{name}",
            "@{name}",
            "${x}",
            "#{x}",
        ),
        *("<%= name %>", r"\(name)", "$1", "$NAME$", "__1__", "[X7X]", ":smile:", "@anna", "#cats", "`ls -l`"),
        *("https://example.com/a?b=1", "www.example.com", "a.b@example.com", "/var/log/app", "~/notes", "--all"),
        *("report_final.pdf", "getName()", "user_id", "userId", "Ctrl+C", "2.10.3", "10.0.0.1", "\U0001f600", "<br/>"),
    ],
)
def test_a_piece_takes_a_stand_in_on_both_sides(piece: str) -> None:
    source, target = protect_pieces(f"Look at {piece} now.", f"Regardez {piece} maintenant.", random.Random(0))
    [mark] = STAND_IN.findall(source)
    assert (source, target) == (f"Look at {mark} now.", f"Regardez {mark} maintenant.")


@pytest.mark.parametrize(
    "text", ["It is 50% of all.", "It costs $5.99, or 3.5.", "I and/or you.", "He said: yes.", "A-b"]
)
def test_plain_text_has_no_piece(text: str) -> None:
    assert not PIECE.search(text)


def test_each_piece_has_a_stand_in_of_its_own() -> None:
    made = {protect_pieces("Copy {a} to {b}.", "Copiez {a} vers {b}.", random.Random(seed)) for seed in range(200)}
    assert all(len(set(STAND_IN.findall(source))) == 2 for source, _ in made)
    assert all(STAND_IN.findall(source) == STAND_IN.findall(target) for source, target in made)
    assert {mark for source, _ in made for mark in STAND_IN.findall(source)} == set(STAND_INS)


def test_a_piece_of_one_side_or_one_that_comes_twice_stays() -> None:
    for sides in [("Open %s.", "Ouvrez."), ("%s and %s", "%s et %s"), ("%s", "%s et %s")]:
        assert protect_pieces(*sides, random.Random(0)) == sides


def test_a_word_is_replaced_only_where_it_stands_alone() -> None:
    sides = ("Tom met Tommy.", "Tom a vu Tommy.")
    source, target = replace_pieces(*sides, ["Tom"], random.Random(0))
    assert source.endswith(" met Tommy.") and target == source.replace("met", "a vu")


def test_shared_words_are_hidden_or_one_is_put_beside_the_sentence() -> None:
    for seed in range(100):
        source, target = hide_words("Tom is in Paris.", "Tom est à Paris.", random.Random(seed))
        assert sorted(STAND_IN.findall(source)) == sorted(STAND_IN.findall(target)) != []
        source, target = hide_words("The dog sleeps.", "Le chien dort.", random.Random(seed))
        [mark] = STAND_IN.findall(source)
        assert source.replace("The dog sleeps", "Le chien dort") == target and mark in target


def test_tags_are_left_out_where_both_sides_have_the_same() -> None:
    assert strip_tags('<a href="x">Here</a>', '<a href="x">Ici</a>') == ("Here", "Ici")
    assert strip_tags("<b>Here</b>", "Ici") == ("<b>Here</b>", "Ici")
    assert strip_tags("1 < 2", "1 < 2") == ("1 < 2", "1 < 2")
