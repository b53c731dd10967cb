"""The generator over the fake language model, compared with numpy."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import GenerationManifest
from service.errors import EmptyText, TextTooLong, UnsupportedOption
from service.generation.generator import Generation, Generator, SamplingParams, TokenEvent
from service.generation.stop_strings import find_stop
from service.runtime import Runtime
from tests.fakes import MAX_TOKENS, source_tokenizer
from tests.service import networks

PROMPTS = ["wind", "The wind is cold.", "and no rain; ", "No way! A warm day,"]


@pytest.fixture(scope="module")
def generator(models: Path) -> Iterator[Generator]:
    folder = models / "writer" / "1"
    manifest = read_manifest(folder)
    assert isinstance(manifest, GenerationManifest)
    made = Generator(read_bundle(folder, manifest), Runtime("cpu", threads=1), Limits(batch_tokens=401))
    yield made
    made.close()


def generate(generator: Generator, prompt: str, params: SamplingParams) -> Generation:
    return asyncio.run(generator.generate(prompt, params))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_search_equals_numpy(generator: Generator, prompt: str) -> None:
    found = generate(generator, prompt, SamplingParams(40, temperature=0))
    tokenizer = source_tokenizer(ends=False)
    prompt_ids = tokenizer.encode(prompt).ids
    ids, log_prob, attention = networks.write(prompt_ids, 40)
    assert tokenizer.decode(prompt_ids) + found.text == tokenizer.decode([*prompt_ids, *ids])
    assert sum(token.log_prob or 0 for token in found.tokens) == pytest.approx(log_prob, abs=1e-4)
    [matrix] = found.attention
    assert (matrix.kind, matrix.layer, matrix.head) == ("decoder_self", 0, None)
    assert np.abs(matrix.weights - attention).max() < 1e-5
    assert matrix.weights.sum(axis=1) == pytest.approx(np.ones(len(ids)), abs=1e-5)


def test_token_spans_cover_the_text(generator: Generator) -> None:
    found = generate(generator, "The wind", SamplingParams(30, seed=5))
    assert "".join(token.text for token in found.tokens) == found.text
    assert [found.text[token.start : token.end] for token in found.tokens] == [token.text for token in found.tokens]
    assert ["The wind"[token.start : token.end] for token in found.prompt_tokens] == [
        token.text for token in found.prompt_tokens
    ]
    assert found.prompt_tokens[0].log_prob is None
    assert all(token.log_prob is not None and token.log_prob < 0 for token in found.prompt_tokens[1:])


def test_a_seed_reproduces_the_text(generator: Generator) -> None:
    first = generate(generator, "wind", SamplingParams(25))
    other = generate(generator, "wind", SamplingParams(25))
    assert first.seed != other.seed and first.text != other.text
    assert generate(generator, "wind", SamplingParams(25, seed=first.seed)).text == first.text


def test_zero_tokens_reads_the_prompt_only(generator: Generator) -> None:
    found = generate(generator, "The wind is cold.", SamplingParams(0))
    assert (found.text, found.tokens, found.attention, found.finish_reason) == ("", [], [], "length")
    assert all(token.log_prob is not None for token in found.prompt_tokens[1:])


PARAMS = st.builds(
    SamplingParams,
    max_tokens=st.integers(0, 30),
    temperature=st.sampled_from([0.0, 0.7, 1.3]),
    top_k=st.sampled_from([None, 9]),
    top_p=st.sampled_from([1.0, 0.9]),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    seed=st.integers(0, 10**6),
    stop=st.sampled_from([(), ("a",), ("th", "e ")]),
    attention=st.sampled_from(["none", "summary", "full"]),
)


@given(st.lists(st.tuples(st.sampled_from(PROMPTS), PARAMS), min_size=2, max_size=6))
def test_a_batch_gives_the_results_of_each_prompt_alone(
    generator: Generator, items: list[tuple[str, SamplingParams]]
) -> None:
    async def together() -> list[Generation]:
        return list(await asyncio.gather(*(generator.generate(prompt, params) for prompt, params in items)))

    for (prompt, params), found in zip(items, asyncio.run(together()), strict=True):
        alone = generate(generator, prompt, params)
        assert (found.text, found.finish_reason, found.seed) == (alone.text, alone.finish_reason, params.seed)
        for one, other in zip(alone.attention, found.attention, strict=True):
            assert one.weights.shape == other.weights.shape
            assert np.abs(one.weights - other.weights).max(initial=0) < 1e-5


@given(st.sampled_from(PROMPTS), PARAMS)
def test_streamed_tokens_equal_the_answer(generator: Generator, prompt: str, params: SamplingParams) -> None:
    events: list[TokenEvent] = []
    found = asyncio.run(generator.generate(prompt, params, on_token=events.append))
    assert [event.token for event in events] == found.tokens
    for position, event in enumerate(events):
        if params.attention == "none":
            assert event.weights is None
        elif params.attention == "summary":
            assert event.weights is not None
            [matrix] = found.attention
            own = matrix.weights[position, : len(found.prompt_tokens) + position]
            assert np.abs(event.weights - own).max() < 1e-6


@given(st.integers(0, 10**6))
def test_a_stop_string_ends_the_text_and_is_removed(generator: Generator, seed: int) -> None:
    whole = generate(generator, "wind", SamplingParams(60, seed=seed))
    stop = (whole.text[7:9] or "?", "zzz")
    found = generate(generator, "wind", SamplingParams(60, seed=seed, stop=stop))
    assert found.text == whole.text[: find_stop(whole.text, stop)]
    assert "".join(token.text for token in found.tokens) == found.text
    assert found.finish_reason == "stop" or stop[0] not in whole.text
    for matrix in found.attention:
        assert matrix.weights.shape == (len(found.tokens), len(found.prompt_tokens) + len(found.tokens) - 1)


def test_several_prompts(generator: Generator) -> None:
    params = SamplingParams(9, seed=4)
    together = asyncio.run(generator.generate_all(PROMPTS, params))
    assert [one.text for one in together] == [generate(generator, prompt, params).text for prompt in PROMPTS]
    with pytest.raises(EmptyText):
        asyncio.run(generator.generate_all(["wind", ""], params))


def test_invalid_requests(generator: Generator) -> None:
    with pytest.raises(EmptyText, match="prompt is empty"):
        generate(generator, "", SamplingParams())
    with pytest.raises(TextTooLong, match=f"writer reads up to {MAX_TOKENS}"):
        generate(generator, "wind and rain " * 30, SamplingParams())
    with pytest.raises(UnsupportedOption, match="max_tokens parameter must be <= 301 for writer"):
        generate(generator, "wind", SamplingParams(302))


def test_too_many_attention_weights(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.generation.generator.MAX_ATTENTION_WEIGHTS", 30_000)
    assert generate(generator, "wind", SamplingParams(170, temperature=0)).attention
    with pytest.raises(
        UnsupportedOption, match='2 attention matrices of 170 x 17. are more than 30,000 weights.*"none"'
    ):
        generate(generator, "wind", SamplingParams(170, temperature=0, attention="full"))
    assert not generate(generator, "wind", SamplingParams(301, temperature=0, attention="none")).attention
