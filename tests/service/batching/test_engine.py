import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from service.batching.engine import SinglePassEngine


@dataclass
class Text:
    length: int


def lengths(batch: Sequence[Text]) -> list[int]:
    return [text.length for text in batch]


def test_a_single_pass_runs_all_items_that_were_started() -> None:
    engine = SinglePassEngine(lengths)
    assert engine.admits() and engine.advance() == []
    engine.start([(5, Text(2)), (7, Text(3))])
    engine.start([(11, Text(13))])
    assert engine.admits()
    assert engine.advance() == [(5, 2), (7, 3), (11, 13)]
    assert engine.advance() == [] and engine.new_tokens() == []


def test_dropped_items_do_not_run() -> None:
    engine = SinglePassEngine(lengths)
    engine.start([(5, Text(2)), (7, Text(3))])
    engine.drop([5, 13])
    assert engine.advance() == [(7, 3)]
    engine.start([(5, Text(2))])
    engine.drop([5])
    assert engine.advance() == []


def test_the_time_per_token_is_measured() -> None:
    engine = SinglePassEngine(lengths)
    assert engine.seconds_per_token == math.inf
    engine.start([(5, Text(2))])
    engine.advance()
    assert 0 < engine.seconds_per_token < 1


@pytest.mark.parametrize("results", [[], [1, 2]])
def test_a_wrong_number_of_results_is_an_error(results: list[int]) -> None:
    engine: SinglePassEngine[Text, int] = SinglePassEngine(lambda batch: results)
    engine.start([(5, Text(2))])
    with pytest.raises(ValueError, match=f"{len(results)} results for 1 texts"):
        engine.advance()
    assert engine.advance() == []
