"""Explanations of translations and continuations, against networks in numpy that score one changed input at a time."""

import asyncio
from typing import Any

import numpy as np
import pytest

from service.errors import EmptyText, TextTooLong, TooManyTokens, UnsupportedOption
from service.handlers.encoding import AS_JSON
from service.handlers.explain import explain
from service.handlers.explain_outputs import OutputAnswer
from service.handlers.explain_schemas import ExplainOutputResponse, ExplainRequest
from service.handlers.schemas import TranslateRequest
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.settings import Settings
from tests.fakes import MAX_TOKENS, doubled, source_tokenizer
from tests.service import networks
from tests.service.networks import EMBEDDING, LEXICON, SHARPNESS, STYLE, WINDOW, softmax

TEXT = "No rain, a warm wind"
WORDS = ["No", "rain", ",", "a", "warm", "wind"]
WITHOUT = [
    " rain, a warm wind",
    "No, a warm wind",
    "No rain a warm wind",
    "No rain, warm wind",
    "No rain, a wind",
    "No rain, a warm",
]
SOURCE = source_tokenizer(ends=True)
LANGUAGE = source_tokenizer(ends=False)


def ask(registry: Registry, settings: Settings, model: str, **fields: Any) -> OutputAnswer:
    request = ExplainRequest.model_validate({"text": TEXT, "model": model, **fields})
    answer = asyncio.run(explain(request, registry, settings))
    assert isinstance(answer, OutputAnswer)
    return answer


def weights(answer: OutputAnswer, method: str) -> networks.Floats:
    [found] = [one.weights for one in answer.influences.explanations if one.method == method]
    return found


def translation_log_probs(source: list[int], output: list[int]) -> list[float]:
    """The log-probability of each given token of a translation."""
    mood, last = EMBEDDING[source[0]], networks.BOS
    found = []
    for place, token in enumerate(output):
        mood = (mood + EMBEDDING[last]) / 2
        cross = softmax(-SHARPNESS[:, None] * np.abs(np.arange(len(source)) - place)).mean(axis=0)
        log_probs = np.log(softmax((cross @ LEXICON[source] + mood @ STYLE).astype(np.float64)))
        found.append(float(log_probs[token]))
        last = token
    return found


def next_log_prob(ids: list[int], token: int) -> float:
    """The log-probability of a token after others."""
    mood = np.zeros(networks.D)
    for one in ids:
        mood = (mood + EMBEDDING[one]) / 2
    seen = EMBEDDING[ids][-WINDOW:]
    heads = softmax(SHARPNESS[:, None] * (seen @ seen[-1]))
    return float(np.log(softmax((mood + (heads @ seen).mean(axis=0)) @ STYLE))[token])


def by_words(log_probs: list[float], answer: OutputAnswer, token_ids: list[int]) -> networks.Floats:
    """The sums over the tokens of each output word. The fake translator has a token for each source token."""
    sizes = [len(LANGUAGE.encode(word).ids) for word in WORDS]
    assert sum(sizes) == len(token_ids) and len(sizes) == len(answer.output_tokens)
    return np.add.reduceat(log_probs, np.cumsum([0, *sizes[:-1]]))


def test_occlusion_of_a_translation_equals_a_loop(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, "en-xx")
    output = networks.translate(SOURCE.encode(TEXT).ids)[0]
    assert [token.text for token in answer.tokens] == WORDS
    assert [token.text for token in answer.output_tokens] == [doubled(word) for word in WORDS]
    whole = by_words(translation_log_probs(SOURCE.encode(TEXT).ids, output), answer, output)
    np.testing.assert_allclose(answer.influences.log_probs, whole, atol=1e-5)
    for column, text in enumerate(WITHOUT):
        changed = by_words(translation_log_probs(SOURCE.encode(text).ids, output), answer, output)
        np.testing.assert_allclose(weights(answer, "occlusion")[:, column], whole - changed, atol=1e-5)


def test_attention_of_a_translation_is_that_of_translate(registry: Registry, settings: Settings) -> None:
    request = TranslateRequest(q=TEXT, source="en", target="xx", attention_unit="word")
    [translation] = asyncio.run(translate(request, registry, settings)).translations
    answer = ask(registry, settings, "en-xx")
    expected = translation.sentences[0].attention[0].weights[:, : len(WORDS)]  # without </s>
    np.testing.assert_allclose(weights(answer, "attention"), expected, atol=1e-5)
    assert answer.influences.explanations[0].correlation is not None


def test_a_given_translation(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, "en-xx", output="\u2581wwiinndd", unit="token", methods=["occlusion"])
    assert len(answer.output_tokens) == 1
    [row] = weights(answer, "occlusion")
    source = SOURCE.encode(TEXT).ids
    given = [SOURCE.token_to_id("\u2581wind") or networks.UNK]
    [whole] = translation_log_probs(source, given)
    expected = [
        whole - translation_log_probs([*source[:place], *source[place + 1 :]], given)[0]
        for place in range(len(source) - 1)
    ]
    np.testing.assert_allclose(row, expected, atol=1e-5)


def test_faithfulness_of_a_translation(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, "en-xx", methods=["occlusion"])
    [found] = answer.influences.explanations
    # The first word of each row is the one with the largest fall, which occlusion measures.
    assert found.faithfulness.comprehensiveness[0] == pytest.approx(found.weights.max(axis=1).mean(), abs=1e-6)
    assert answer.influences.random is not None
    assert answer.influences.random.comprehensiveness.mean() < found.faithfulness.comprehensiveness.mean()


@pytest.mark.parametrize("removal", ["delete", "unknown"])
def test_occlusion_of_a_continuation_equals_a_loop(registry: Registry, settings: Settings, removal: str) -> None:
    answer = ask(registry, settings, "writer", output="and a", removal=removal)
    prompt, output = LANGUAGE.encode(TEXT).ids, LANGUAGE.encode("and a").ids
    ids = [*prompt, *output]
    assert len(answer.tokens) == len(ids) - 1 and len(answer.output_tokens) == len(output)
    found = weights(answer, "occlusion")
    for row in range(len(output)):
        place = len(prompt) + row
        whole = next_log_prob(ids[:place], ids[place])
        assert answer.influences.log_probs[row] == pytest.approx(whole, abs=1e-5)
        for column in range(len(ids) - 1):
            left = [networks.UNK] if removal == "unknown" else []
            changed = [*ids[:column], *left, *ids[column + 1 : place]]
            fall = whole - next_log_prob(changed, ids[place]) if column < place else 0.0
            assert found[row, column] == pytest.approx(fall, abs=1e-5)


def test_attention_of_a_continuation(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, "writer")
    prompt = LANGUAGE.encode(TEXT).ids
    ids, _, attention = networks.write(prompt, 16)
    assert len(answer.output_tokens) == len(ids)
    np.testing.assert_allclose(weights(answer, "attention"), attention, atol=1e-5)
    assert answer.influences.random is not None


def test_words_of_a_continuation(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, "writer", output="and a", unit="word")
    assert [token.text for token in answer.tokens] == [*WORDS, "and"]
    assert [token.text for token in answer.output_tokens] == ["and", "a"]
    assert weights(answer, "occlusion")[0, -1] == 0
    np.testing.assert_allclose(weights(answer, "attention")[1].sum(), 1, atol=1e-5)


def test_encoding(registry: Registry, settings: Settings) -> None:
    for model in ("en-xx", "writer"):
        encoded = [ask(registry, settings, model, seed=seed).encode(AS_JSON) for seed in (4, 4, 5)]
        assert encoded[0] == encoded[1] != encoded[2]
        response = ExplainOutputResponse.model_validate(encoded[0])
        assert [one.method for one in response.explanations] == ["attention", "occlusion"]
        without = ask(registry, settings, model, random_orders=0, methods=["occlusion"]).encode(AS_JSON)
        assert without["random"] is None and without["evaluations"] < encoded[0]["evaluations"]


def test_errors(registry: Registry, settings: Settings) -> None:
    few = settings.model_copy(update={"max_explain_evaluations": 20})
    for model in ("en-xx", "writer"):
        with pytest.raises(EmptyText):
            ask(registry, settings, model, text=" ")
        with pytest.raises(EmptyText):
            ask(registry, settings, model, output="")
        with pytest.raises(TextTooLong):
            ask(registry, settings, model, text="rain " * MAX_TOKENS)
        with pytest.raises(UnsupportedOption, match="not a classifier"):
            ask(registry, settings, model, methods=["shapley"])
        with pytest.raises(UnsupportedOption, match="LIMELIGHT_MAX_EXPLAIN_EVALUATIONS"):
            ask(registry, few, model)
        with pytest.raises(TooManyTokens, match="changed inputs"):
            ask(registry, settings.model_copy(update={"max_request_tokens": 50}), model)
    with pytest.raises(UnsupportedOption, match="at least two tokens"):
        ask(registry, settings, "writer", text="a")
    with pytest.raises(UnsupportedOption, match="is a classifier"):
        asyncio.run(explain(ExplainRequest(text="wind", model="toy", output="x"), registry, settings))
