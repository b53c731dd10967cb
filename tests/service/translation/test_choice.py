"""The hypothesis that keeps placeholders and numbers is chosen."""

import pytest

from service.bundle.conventions import STAND_INS
from service.decoding.beam_search import Hypothesis
from service.text.mapped import MappedText
from service.text.tokenizer import Encoded, TextTokenizer, Token
from service.translation.choice import choose, others
from service.translation.engine import Decoded
from service.translation.segments import Segment
from service.translation.source_text import PlacedPiece, SourceText
from tests.fakes import target_tokenizer

TOKENIZER = TextTokenizer(target_tokenizer().to_str().encode())
UNKNOWN = TOKENIZER.token_id("<unk>")


def ids(*tokens: str) -> list[int]:
    return [TOKENIZER.token_id(token) for token in tokens]


WIND, RAIN, SEVEN = ids("\u2581wwiinndd", "\u2581rraaiinn", "\u258177")


def segment(text: str) -> Segment:
    """A segment with an unknown source symbol at position 1, the first placeholder."""
    pieces = [PlacedPiece(0, 1, "{x}", mark, (0, 1)) for mark in STAND_INS[:1] if mark in text]
    source = SourceText(text, 0, MappedText.copy_of(text), pieces)
    return Segment(0, len(text), source, Encoded([0, 1], [Token("a", 0, 1), Token(STAND_INS[0], 0, 1)]), [])


def decoded(*hypotheses: list[int]) -> Decoded:
    return Decoded(
        [Hypothesis(token_ids, -float(number), {}) for number, token_ids in enumerate(hypotheses)],
        [{place: 1 for place, token_id in enumerate(own) if token_id == UNKNOWN} for own in hypotheses],
        "none",
        [[] for _ in hypotheses],
    )


@pytest.mark.parametrize(
    ("text", "hypotheses", "index"),
    [
        ("wind", [[WIND], [RAIN]], 0),
        ("wind 77", [[WIND], [RAIN], [RAIN, SEVEN], [SEVEN]], 2),
        ("wind", [[WIND, SEVEN], [RAIN]], 1),
        ("wind 5", [[WIND], [RAIN, SEVEN]], 0),
        (f"see {STAND_INS[0]}", [[WIND], [RAIN, UNKNOWN]], 1),
        (f"see {STAND_INS[0]} 77", [[WIND], [WIND, SEVEN], [RAIN, UNKNOWN]], 2),
    ],
)
def test_choice(text: str, hypotheses: list[list[int]], index: int) -> None:
    chosen = choose(TOKENIZER, segment(text), decoded(*hypotheses))
    assert (chosen.index, chosen.score) == (index, -float(index))


def test_alternatives_are_the_others_in_order() -> None:
    found = others(TOKENIZER, segment("wind"), decoded([WIND], [RAIN], [SEVEN]), best=1, count=5)
    assert [candidate.index for candidate in found] == [0, 2]
    assert [candidate.text for candidate in found] == ["wwiinndd", "77"]
