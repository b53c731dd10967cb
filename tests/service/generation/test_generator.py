"""The generator over the fake language model, whose answers numpy gives for one text at a time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.scheduler import Limits
from service.bundle.manifest import read_manifest
from service.errors import EmptyText, TextTooLong, UnsupportedOption
from service.generation.generator import Generation, Generator, SamplingParams, TokenEvent, certain, cut
from service.runtime import Runtime
from tests.fakes import MAX_TOKENS, source_tokenizer
from tests.service import networks

PROMPTS = ["wind", "The wind is cold.", "and no rain; ", "No way! A warm day,"]


@pytest.fixture(scope="module")
def generator(models: Path) -> Iterator[Generator]:
    folder = models / "writer" / "1"
    made = Generator(folder, read_manifest(folder), Runtime("cpu", threads=1), Limits(batch_tokens=401))
    yield made
    made.close()


def generate(generator: Generator, prompt: str, manner: SamplingParams) -> Generation:
    return asyncio.run(generator.generate(prompt, manner))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_what_numpy_says(generator: Generator, prompt: str) -> None:
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


def test_tokens_are_laid_end_to_end(generator: Generator) -> None:
    found = generate(generator, "The wind", SamplingParams(30, seed=5))
    assert "".join(token.text for token in found.tokens) == found.text
    assert [found.text[token.start : token.end] for token in found.tokens] == [token.text for token in found.tokens]
    assert ["The wind"[token.start : token.end] for token in found.prompt_tokens] == [
        token.text for token in found.prompt_tokens
    ]
    assert found.prompt_tokens[0].log_prob is None
    assert all(token.log_prob is not None and token.log_prob < 0 for token in found.prompt_tokens[1:])


def test_a_seed_is_given_and_writes_the_same_again(generator: Generator) -> None:
    first = generate(generator, "wind", SamplingParams(25))
    other = generate(generator, "wind", SamplingParams(25))
    assert first.seed != other.seed and first.text != other.text
    assert generate(generator, "wind", SamplingParams(25, seed=first.seed)).text == first.text


def test_nothing_to_write_reads_only(generator: Generator) -> None:
    found = generate(generator, "The wind is cold.", SamplingParams(0))
    assert (found.text, found.tokens, found.attention, found.finish_reason) == ("", [], [], "length")
    assert all(token.log_prob is not None for token in found.prompt_tokens[1:])


MANNERS = st.builds(
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


@given(st.lists(st.tuples(st.sampled_from(PROMPTS), MANNERS), min_size=2, max_size=6))
def test_in_a_batch_as_alone(generator: Generator, asked: list[tuple[str, SamplingParams]]) -> None:
    async def together() -> list[Generation]:
        return list(await asyncio.gather(*(generator.generate(prompt, manner) for prompt, manner in asked)))

    for (prompt, manner), found in zip(asked, asyncio.run(together()), strict=True):
        alone = generate(generator, prompt, manner)
        assert (found.text, found.finish_reason, found.seed) == (alone.text, alone.finish_reason, manner.seed)
        for one, other in zip(alone.attention, found.attention, strict=True):
            assert one.weights.shape == other.weights.shape
            assert np.abs(one.weights - other.weights).max(initial=0) < 1e-5


@given(st.sampled_from(PROMPTS), MANNERS)
def test_what_is_heard_is_what_is_answered(generator: Generator, prompt: str, manner: SamplingParams) -> None:
    heard: list[TokenEvent] = []
    found = asyncio.run(generator.generate(prompt, manner, heard=heard.append))
    assert [spoken.token for spoken in heard] == found.tokens
    for place, spoken in enumerate(heard):
        if manner.attention == "none":
            assert spoken.weights is None
        elif manner.attention == "summary":
            assert spoken.weights is not None
            [matrix] = found.attention
            own = matrix.weights[place, : len(found.prompt_tokens) + place]
            assert np.abs(spoken.weights - own).max() < 1e-6


@given(st.integers(0, 10**6))
def test_a_stop_string_ends_the_text_and_is_no_part_of_it(generator: Generator, seed: int) -> None:
    whole = generate(generator, "wind", SamplingParams(60, seed=seed))
    stop = (whole.text[7:9] or "?", "zzz")
    found = generate(generator, "wind", SamplingParams(60, seed=seed, stop=stop))
    assert found.text == whole.text[: cut(whole.text, stop)]
    assert "".join(token.text for token in found.tokens) == found.text
    assert found.finish_reason == "stop" or stop[0] not in whole.text
    for matrix in found.attention:
        assert matrix.weights.shape == (len(found.tokens), len(found.prompt_tokens) + len(found.tokens) - 1)


def test_where_a_text_is_cut() -> None:
    assert cut("one. two. three", [". t", " three"]) == 3
    assert cut("one", []) == 3
    assert certain("one two", ["two three"]) == 4
    assert certain("one two", ["x", "o"]) == 7
    assert certain("aab", ["aabaac"]) == 0


def test_several_prompts_are_one_request(generator: Generator) -> None:
    manner = SamplingParams(9, seed=4)
    together = asyncio.run(generator.generate_all(PROMPTS, manner))
    assert [one.text for one in together] == [generate(generator, prompt, manner).text for prompt in PROMPTS]
    with pytest.raises(EmptyText):
        asyncio.run(generator.generate_all(["wind", ""], manner))


def test_what_cannot_be_written(generator: Generator) -> None:
    with pytest.raises(EmptyText, match="prompt is empty"):
        generate(generator, "", SamplingParams())
    with pytest.raises(TextTooLong, match=f"writer reads up to {MAX_TOKENS}"):
        generate(generator, "wind and rain " * 30, SamplingParams())
    with pytest.raises(UnsupportedOption, match="max_tokens parameter must be <= 301 for writer"):
        generate(generator, "wind", SamplingParams(302))


def test_more_weights_than_anyone_can_read(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.generation.generator.MOST_WEIGHTS", 30_000)
    assert generate(generator, "wind", SamplingParams(170, temperature=0)).attention
    with pytest.raises(
        UnsupportedOption, match='2 attention matrices of 170 x 17. are more than 30,000 weights.*"none"'
    ):
        generate(generator, "wind", SamplingParams(170, temperature=0, attention="full"))
    assert not generate(generator, "wind", SamplingParams(301, temperature=0, attention="none")).attention
