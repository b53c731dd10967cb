"""Sampling against the definition: one text in plain Python, on the toy whose answers depend on the whole prefix."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.sampling import Completion, Sampling, SamplingRequest, choose
from service.decoding.step import Floats
from tests.service.decoding.toy import ATTENTION, EOS, RULES, ToyStep, V, log_probs, start

PROMPTS = st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=4)
DRAWS = st.builds(
    SamplingRequest,
    prompt=PROMPTS,
    max_tokens=st.integers(0, 7),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([None, 1, 2, 5]),
    top_p=st.sampled_from([1.0, 0.8, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.7]),
    seed=st.integers(0, 10**6),
    stops=st.sampled_from([None, lambda token: token == 4]),
    attention=st.sampled_from([frozenset[str](), ATTENTION]),
)


def shares(row: Floats, draw: SamplingRequest, said: list[int]) -> dict[int, float]:
    """Token -> its share of the line from 0 to 1, from the definitions, one step after the other."""
    scores = {
        t: float(row[t]) * (draw.repetition_penalty if t in said else 1) for t in range(V) if t not in RULES.never
    }
    if draw.temperature == 0:
        return {max(scores, key=lambda t: scores[t]): 1.0}
    powers = {t: math.exp(score / draw.temperature) for t, score in scores.items()}
    total = sum(powers.values())
    kept: dict[int, float] = {}
    for token in sorted(powers, key=lambda t: -powers[t])[: draw.top_k]:
        if sum(kept.values()) >= draw.top_p:
            break
        kept[token] = powers[token] / total
    return {token: kept[token] / sum(kept.values()) for token in sorted(kept)}


def by_the_book(number: int, draw: SamplingRequest) -> Completion:
    written = Completion(attention={name: [] for name in draw.attention})
    for place in range(1, len(draw.prompt)):
        written.prompt_log_probs.append(float(log_probs(number, draw.prompt[:place])[draw.prompt[place]]))
    chances = np.random.default_rng(draw.seed).random(draw.max_tokens).tolist()
    for chance in chances:
        said = [*draw.prompt, *written.token_ids]
        row = log_probs(number, said)
        line = shares(row, draw, said)
        token = next(t for t in line if chance < sum(share for other, share in line.items() if other <= t) + 1e-12)
        if token == EOS:
            written.finish_reason = "stop"
            break
        written.token_ids.append(token)
        written.log_probs.append(float(row[token]))
        if draw.stops is not None and draw.stops(token):
            written.finish_reason = "stop"
            break
    return written


def run(numbers: list[int], draws: list[SamplingRequest], step: ToyStep | None = None) -> list[Completion]:
    """What is written of texts that start together."""
    running = Sampling(step or ToyStep(), V, EOS, RULES.never)
    running.join(range(len(draws)), draws, start(numbers))
    found: dict[int, Completion] = {}
    while len(running):
        found |= dict(running.advance())
    return [found[key] for key in range(len(draws))]


def same(one: Completion, other: Completion) -> bool:
    spelled = [
        {name: [row[..., -n - 1 :].tolist() for n, row in enumerate(rows)] for name, rows in w.attention.items()}
        for w in (one, other)
    ]
    told = [(w.token_ids, w.log_probs, w.prompt_log_probs, w.finish_reason) for w in (one, other)]
    return told[0] == told[1] and spelled[0] == spelled[1]


@given(number=st.integers(0, 10**6), draw=DRAWS)
def test_a_text_is_by_the_book(number: int, draw: SamplingRequest) -> None:
    [found] = run([number], [draw])
    expected = by_the_book(number, draw)
    assert (found.token_ids, found.finish_reason) == (expected.token_ids, expected.finish_reason)
    assert found.log_probs == pytest.approx(expected.log_probs, abs=1e-12)
    assert found.prompt_log_probs == pytest.approx(expected.prompt_log_probs, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 10**6), DRAWS), min_size=2, max_size=5))
def test_a_text_beside_others_is_as_alone(texts: list[tuple[int, SamplingRequest]]) -> None:
    together = run([number for number, _ in texts], [draw for _, draw in texts])
    for (number, draw), found in zip(texts, together, strict=True):
        [alone] = run([number], [draw])
        assert same(alone, found)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), DRAWS, st.integers(0, 9)), min_size=2, max_size=6),
    st.sets(st.integers(0, 5)),
    st.integers(1, 9),
)
def test_texts_come_and_go(texts: list[tuple[int, SamplingRequest, int]], leaving: set[int], when: int) -> None:
    """Each joins at its own time, some leave early, and none changes what another gets."""
    running = Sampling(ToyStep(), V, EOS, RULES.never)
    found: dict[int, Completion] = {}
    for time in range(40):
        for key, (number, draw, at) in enumerate(texts):
            if at == time:
                running.join([key], [draw], start([number]))
        if time == when:
            running.leave(leaving)
        found |= dict(running.advance())
    assert not len(running)
    for key, (number, draw, at) in enumerate(texts):
        if key in leaving and at <= when and key not in found:
            continue
        [alone] = run([number], [draw])
        assert same(alone, found[key])


@given(number=st.integers(0, 10**6), draw=DRAWS)
def test_attention_is_of_the_step_that_chose(number: int, draw: SamplingRequest) -> None:
    [found] = run([number], [draw])
    for place in range(len(found.token_ids)):
        if draw.attention:
            read = [*draw.prompt, *found.token_ids[:place]]
            assert found.attention["prefix"][place][0, 0, -len(read) :].tolist() == read
    if not draw.attention:
        assert not found.attention


def test_finished_texts_cost_nothing() -> None:
    step = ToyStep()
    draws = [SamplingRequest([2], count, attention=frozenset(), stops=None, temperature=0) for count in (1, 3)]
    run([5, 5], draws, step)
    assert step.rows[0] == 2 and step.rows[-1] == 1


def test_what_was_written_last_is_told_each_step() -> None:
    draw = SamplingRequest([2, 3, 4], 2, temperature=0)
    number = next(n for n in range(99) if by_the_book(n, draw).finish_reason == "length")
    running = Sampling(ToyStep(), V, EOS, RULES.never)
    running.join([9], [draw], start([number]))
    told = []
    while len(running):
        running.advance()
        told.append([(key, len(written.token_ids)) for key, written in running.latest()])
    assert told == [[], [], [(9, 1)], [(9, 2)]]  # first the prompt is read
    running.advance()
    assert running.latest() == []


def test_draws_are_as_likely_as_they_should_be() -> None:
    """Of 20,000 draws at a temperature each token has its share."""
    row = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))
    chances = np.random.default_rng(3).random(20_000)
    draws = [SamplingRequest([0], 1, temperature=0.5, top_p=0.97)] * len(chances)
    found = choose(np.repeat(row, len(chances), 0), draws, np.zeros((len(chances), 4), np.bool_), chances)
    powers = np.array([0.25, 0.09, 0.0225, 0.0])  # the last is beyond 97 %
    assert np.bincount(found, minlength=4) / len(chances) == pytest.approx(powers / powers.sum(), abs=0.01)


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 100.0])
def test_temperatures_at_the_edge(temperature: float) -> None:
    row = np.array([[-0.1, -30.0, -np.inf]])
    found = choose(row, [SamplingRequest([0], 1, temperature)], np.zeros((1, 3), np.bool_), np.array([0.2]))
    assert found.tolist() == [0]
