"""Explanations against a loop over classifications, and against a classifier whose values are known."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.batching.scheduler import Limits
from service.bundle.manifest import GOLDEN
from service.errors import EmptyText, TextTooLong, TooManyTokens, UnsupportedOption
from service.explanation.explainer import Explanation
from service.handlers.classify import classify
from service.handlers.encoding import AS_JSON
from service.handlers.explain import explain
from service.handlers.explain_labels import ExplanationAnswer
from service.handlers.explain_schemas import ExplainRequest, ExplainResponse
from service.handlers.schemas import ClassifyRequest
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings
from tests import fakes
from tests.fakes import LABELS, MAX_TOKENS, source_tokenizer
from tests.service import networks

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
TOKENIZER = source_tokenizer(ends=False)


def ask(registry: Registry, settings: Settings, **fields: Any) -> ExplanationAnswer:
    request = ExplainRequest.model_validate({"text": TEXT, **fields})
    answer = asyncio.run(explain(request, registry, settings))
    assert isinstance(answer, ExplanationAnswer)
    return answer


def by_method(answer: ExplanationAnswer) -> dict[str, Explanation]:
    return {one.method: one for one in answer.explained.explanations}


def scores(registry: Registry, settings: Settings, text: str) -> dict[str, float]:
    [prediction] = asyncio.run(classify(ClassifyRequest(text=text), registry, settings)).predictions
    return prediction.scores


def test_occlusion_equals_a_loop_over_classify(registry: Registry, settings: Settings) -> None:
    for label in LABELS:
        answer = ask(registry, settings, target=label)
        assert [token.text for token in answer.tokens] == WORDS
        whole = scores(registry, settings, TEXT)[label]
        assert answer.explained.score == pytest.approx(whole, abs=1e-6)
        expected = [whole - scores(registry, settings, text)[label] for text in WITHOUT]
        np.testing.assert_allclose(by_method(answer)["occlusion"].weights, expected, atol=1e-5)


@pytest.mark.parametrize(("unit", "removal"), [("token", "delete"), ("token", "unknown"), ("word", "unknown")])
def test_occlusion_of_ids(registry: Registry, settings: Settings, unit: str, removal: str) -> None:
    answer = ask(registry, settings, unit=unit, removal=removal, target="warm", methods=["occlusion"])
    encoded = TOKENIZER.encode(TEXT)
    place = LABELS.index("warm")
    expected = []
    for one in answer.tokens:
        inside = [one.start <= start < one.end or one.start < end <= one.end for start, end in encoded.offsets]
        unknown = [networks.UNK] if removal == "unknown" else []
        ids = [i for token, gone in zip(encoded.ids, inside, strict=True) for i in (unknown if gone else [token])]
        expected.append(answer.explained.score - float(networks.classify(ids)[0][place]))
    assert len(expected) == (len(encoded.ids) if unit == "token" else len(WORDS))
    np.testing.assert_allclose(by_method(answer)["occlusion"].weights, expected, atol=1e-5)


def test_shapley_values_sum_to_the_difference(registry: Registry, settings: Settings) -> None:
    for evaluations, is_exact in ((64, True), (40, False)):
        answer = ask(registry, settings, evaluations=evaluations)
        found = by_method(answer)["shapley"]
        assert answer.explained.empty_score is not None and found.errors is not None
        assert answer.explained.empty_score == pytest.approx(
            float(networks.classify([networks.UNK])[0][LABELS.index(answer.target)]), abs=1e-5
        )
        assert found.weights.sum() == pytest.approx(answer.explained.score - answer.explained.empty_score, abs=1e-6)
        assert bool(found.errors.any()) is not is_exact


def test_faithfulness_equals_a_loop_over_classify(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, target="warm", methods=["occlusion"])
    [found] = answer.explained.explanations
    first = int(found.weights.argmax())
    whole = scores(registry, settings, TEXT)["warm"]
    without, alone = (scores(registry, settings, text)["warm"] for text in (WITHOUT[first], WORDS[first]))
    assert found.faithfulness.comprehensiveness[0] == pytest.approx(whole - without, abs=1e-5)
    assert found.faithfulness.sufficiency[0] == pytest.approx(whole - alone, abs=1e-5)


def test_letters_do_not_join(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, text="rain,wind", target="warm", methods=["occlusion"])
    change = answer.explained.score - scores(registry, settings, "rain wind")["warm"]
    assert answer.explained.explanations[0].weights[1] == pytest.approx(change, abs=1e-5)


def test_attention_is_that_of_classify(registry: Registry, settings: Settings) -> None:
    [prediction] = asyncio.run(
        classify(ClassifyRequest(text=TEXT, attention_unit="word"), registry, settings)
    ).predictions
    found = by_method(ask(registry, settings))["attention"]
    np.testing.assert_allclose(found.weights, prediction.attention[0].weights[0], atol=1e-5)
    assert found.correlation is not None


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A classifier whose scores are sums of shares of its tokens."""
    folder = tmp_path_factory.mktemp("linear")
    probabilities = 1 / 3 + networks.SHARES[TOKENIZER.encode("wind").ids].sum(axis=0)
    scores = dict(zip(LABELS, probabilities.tolist(), strict=True))
    answer: dict[str, Any] = {"scores": scores, "attention": None}
    files = {
        "tokenizer.json": TOKENIZER.to_str(),
        GOLDEN: json.dumps({"tolerance": 1e-4, "cases": [{"text": "wind", "answer": answer}]}),
    }
    fields = {
        "task": "classification",
        "labels": LABELS,
        "tokenizers": {"text": "tokenizer.json"},
        "limits": {"max_tokens": MAX_TOKENS},
        "attention": [],
    }
    fakes._write(Path(folder) / "linear" / "1", ["linear"], files, fields)
    outputs = [
        fakes._attention("classify", "even", "pooling", summary=True),
        fakes._attention("classify", "contributions", "contribution", heads=len(LABELS)),
    ]
    even = np.full((1, len(TOKENIZER.encode("wind").ids)), 1 / len(TOKENIZER.encode("wind").ids))
    answer["attention"] = even.tolist()
    files[GOLDEN] = json.dumps({"tolerance": 1e-4, "cases": [{"text": "wind", "answer": answer}]})
    fakes._write(Path(folder) / "with-shares" / "1", ["linear"], files, {**fields, "attention": outputs})
    made = Registry(folder, Runtime("cpu", threads=1), Limits())
    made.load()
    yield made
    made.close()


def test_the_values_of_a_linear_classifier(linear: Registry, settings: Settings) -> None:
    text = "rain and wind and rain and no wind and warm"
    expected = [networks.SHARES[TOKENIZER.encode(word).ids, 2].sum() for word in text.split()]
    answer = ask(linear, settings, text=text, target="warm", model="linear")
    found = by_method(answer)
    assert list(found) == ["occlusion", "shapley"]
    for one in found.values():
        np.testing.assert_allclose(one.weights, expected, atol=1e-6)
        assert one.errors is None or (one.errors < 1e-6).all()
    assert found["shapley"].errors is not None and answer.explained.empty_score == pytest.approx(1 / 3)
    with pytest.raises(UnsupportedOption, match="has no attention and no contribution; its methods are occlusion, "):
        ask(linear, settings, methods=["contribution", "attention"], model="linear")


def test_contributions_are_a_method(linear: Registry, settings: Settings) -> None:
    text = "rain and no wind"
    found = by_method(ask(linear, settings, text=text, target="warm", model="with-shares"))
    assert list(found) == ["attention", "contribution", "occlusion", "shapley"]
    shares = [networks.SHARES[TOKENIZER.encode(word).ids].sum(axis=0) for word in text.split()]
    expected = [share[LABELS.index("warm")] - share.mean() for share in shares]
    np.testing.assert_allclose(found["contribution"].weights, expected, atol=1e-6)


def test_contributions_of_words(linear: Registry, settings: Settings) -> None:
    request = ClassifyRequest(text=TEXT, attention="full", attention_unit="word", model="with-shares")
    [prediction] = asyncio.run(classify(request, linear, settings)).predictions
    encoded = TOKENIZER.encode(TEXT)
    shares = networks.SHARES[encoded.ids].T  # [C, S]
    _, *contributions = prediction.attention
    assert [(one.kind, one.head) for one in contributions] == [("contribution", head) for head in range(3)]
    for matrix, expected in zip(contributions, shares, strict=True):
        assert matrix.weights.shape == (1, len(WORDS))
        assert matrix.weights.sum() == pytest.approx(expected.sum(), abs=1e-6)


def test_encoding(registry: Registry, settings: Settings) -> None:
    encoded = [ask(registry, settings, evaluations=40, seed=seed).encode(AS_JSON) for seed in (4, 4, 5)]
    assert encoded[0] == encoded[1] != encoded[2]
    response = ExplainResponse.model_validate(encoded[0])
    assert response.random is not None and len(response.random.shares) == 4
    assert ask(registry, settings, random_orders=0).encode(AS_JSON)["random"] is None


def test_one_word(registry: Registry, settings: Settings) -> None:
    answer = ask(registry, settings, text="wind")
    found = by_method(answer)
    assert found["occlusion"].weights == pytest.approx(found["shapley"].weights)
    assert found["attention"].correlation is None


def test_errors(registry: Registry, settings: Settings) -> None:
    with pytest.raises(EmptyText):
        ask(registry, settings, text=" ")
    with pytest.raises(TextTooLong):
        ask(registry, settings, text="rain " * MAX_TOKENS)
    with pytest.raises(UnsupportedOption, match="only cold, mild, warm"):
        ask(registry, settings, target="hot")
    with pytest.raises(TooManyTokens, match="changed texts"):
        ask(registry, settings.model_copy(update={"max_request_tokens": 50}))
