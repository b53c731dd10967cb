"""Sampling from the toy step, compared with a reference in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.sampling import Completion, Sampler, SamplingRequest, sample
from service.decoding.step import Floats
from tests.service.decoding.toy import ATTENTION, EOS, SPECIAL, ToyStep, V, log_probs, start

PROMPTS = st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=4)
REQUESTS = st.builds(
    SamplingRequest,
    prompt=PROMPTS,
    max_tokens=st.integers(0, 7),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([None, 1, 2, 5]),
    top_p=st.sampled_from([1.0, 0.8, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.7]),
    seed=st.integers(0, 10**6),
    ends_text=st.sampled_from([None, lambda token: token == 4]),
    attention=st.sampled_from([frozenset[str](), ATTENTION]),
)


def distribution(row: Floats, request: SamplingRequest, prefix: list[int]) -> dict[int, float]:
    """Token -> its probability after temperature, top-k and nucleus, from their definitions."""
    scores = {
        t: float(row[t]) * (request.repetition_penalty if t in prefix else 1)
        for t in range(V)
        if t not in SPECIAL.forbidden
    }
    if request.temperature == 0:
        return {max(scores, key=lambda t: scores[t]): 1.0}
    powers = {t: math.exp(score / request.temperature) for t, score in scores.items()}
    total = sum(powers.values())
    kept: dict[int, float] = {}
    for token in sorted(powers, key=lambda t: -powers[t])[: request.top_k]:
        if sum(kept.values()) >= request.top_p:
            break
        kept[token] = powers[token] / total
    return {token: kept[token] / sum(kept.values()) for token in sorted(kept)}


def reference(number: int, request: SamplingRequest) -> Completion:
    completion = Completion(attention={name: [] for name in request.attention})
    for place in range(1, len(request.prompt)):
        completion.prompt_log_probs.append(float(log_probs(number, request.prompt[:place])[request.prompt[place]]))
    uniforms = np.random.default_rng(request.seed).random(request.max_tokens).tolist()
    for uniform in uniforms:
        prefix = [*request.prompt, *completion.token_ids]
        row = log_probs(number, prefix)
        probabilities = distribution(row, request, prefix)
        token = next(
            t for t in probabilities if uniform < sum(p for other, p in probabilities.items() if other <= t) + 1e-12
        )
        if token == EOS:
            completion.finish_reason = "stop"
            break
        completion.token_ids.append(token)
        completion.log_probs.append(float(row[token]))
        if request.ends_text is not None and request.ends_text(token):
            completion.finish_reason = "stop"
            break
    return completion


def run(numbers: list[int], requests: list[SamplingRequest], step: ToyStep | None = None) -> list[Completion]:
    """Return the completions of texts that start together."""
    running = Sampler(step or ToyStep(), V, EOS, SPECIAL.forbidden)
    running.join(range(len(requests)), requests, start(numbers))
    found: dict[int, Completion] = {}
    while len(running):
        found |= dict(running.advance())
    return [found[key] for key in range(len(requests))]


def same(one: Completion, other: Completion) -> bool:
    weights = [
        {name: [row[..., -n - 1 :].tolist() for n, row in enumerate(rows)] for name, rows in w.attention.items()}
        for w in (one, other)
    ]
    reported = [(w.token_ids, w.log_probs, w.prompt_log_probs, w.finish_reason) for w in (one, other)]
    return reported[0] == reported[1] and weights[0] == weights[1]


@given(number=st.integers(0, 10**6), request=REQUESTS)
def test_a_text_equals_the_reference(number: int, request: SamplingRequest) -> None:
    [found] = run([number], [request])
    expected = reference(number, request)
    assert (found.token_ids, found.finish_reason) == (expected.token_ids, expected.finish_reason)
    assert found.log_probs == pytest.approx(expected.log_probs, abs=1e-12)
    assert found.prompt_log_probs == pytest.approx(expected.prompt_log_probs, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 10**6), REQUESTS), min_size=2, max_size=5))
def test_a_batch_gives_the_results_of_each_text_alone(texts: list[tuple[int, SamplingRequest]]) -> None:
    together = run([number for number, _ in texts], [request for _, request in texts])
    for (number, request), found in zip(texts, together, strict=True):
        [alone] = run([number], [request])
        assert same(alone, found)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), REQUESTS, st.integers(0, 9)), min_size=2, max_size=6),
    st.sets(st.integers(0, 5)),
    st.integers(1, 9),
)
def test_texts_that_join_and_leave_do_not_change_others(
    texts: list[tuple[int, SamplingRequest, int]], leaving: set[int], when: int
) -> None:
    """Each text joins at its own step. Some leave early."""
    running = Sampler(ToyStep(), V, EOS, SPECIAL.forbidden)
    found: dict[int, Completion] = {}
    for step_number in range(40):
        for key, (number, request, at) in enumerate(texts):
            if at == step_number:
                running.join([key], [request], start([number]))
        if step_number == when:
            running.leave(leaving)
        found |= dict(running.advance())
    assert not len(running)
    for key, (number, request, at) in enumerate(texts):
        if key in leaving and at <= when and key not in found:
            continue
        [alone] = run([number], [request])
        assert same(alone, found[key])


@given(number=st.integers(0, 10**6), request=REQUESTS)
def test_attention_belongs_to_the_step_that_generated_the_token(number: int, request: SamplingRequest) -> None:
    [found] = run([number], [request])
    for place in range(len(found.token_ids)):
        if request.attention:
            prefix = [*request.prompt, *found.token_ids[:place]]
            assert found.attention["prefix"][place][0, 0, -len(prefix) :].tolist() == prefix
    if not request.attention:
        assert not found.attention


def test_finished_texts_are_not_run() -> None:
    step = ToyStep()
    requests = [SamplingRequest([2], count, attention=frozenset(), ends_text=None, temperature=0) for count in (1, 3)]
    run([5, 5], requests, step)
    assert step.rows[0] == 2 and step.rows[-1] == 1


def test_latest_completions() -> None:
    request = SamplingRequest([2, 3, 4], 2, temperature=0)
    number = next(n for n in range(99) if reference(n, request).finish_reason == "length")
    running = Sampler(ToyStep(), V, EOS, SPECIAL.forbidden)
    running.join([9], [request], start([number]))
    reported = []
    while len(running):
        running.advance()
        reported.append([(key, len(completion.token_ids)) for key, completion in running.latest()])
    assert reported == [[], [], [(9, 1)], [(9, 2)]]  # two steps read the prompt
    running.advance()
    assert running.latest() == []


def test_sampled_frequencies() -> None:
    """20,000 samples match the tempered probabilities."""
    row = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))
    uniforms = np.random.default_rng(3).random(20_000)
    requests = [SamplingRequest([0], 1, temperature=0.5, top_p=0.97)] * len(uniforms)
    found = sample(np.repeat(row, len(uniforms), 0), requests, np.zeros((len(uniforms), 4), np.bool_), uniforms)
    powers = np.array([0.25, 0.09, 0.0225, 0.0])  # the last is outside the nucleus of 97 %
    assert np.bincount(found, minlength=4) / len(uniforms) == pytest.approx(powers / powers.sum(), abs=0.01)


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 100.0])
def test_extreme_temperatures(temperature: float) -> None:
    row = np.array([[-0.1, -30.0, -np.inf]])
    found = sample(row, [SamplingRequest([0], 1, temperature)], np.zeros((1, 3), np.bool_), np.array([0.2]))
    assert found.tolist() == [0]
