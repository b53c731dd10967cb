"""Graphs with int8 products."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from training.graphs.int8 import INPUT_LEVELS, WEIGHT_LEVELS, observe, quantize

RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.normal(size=(13, 17)).astype(np.float16)
BIAS = RANDOM.normal(size=17).astype(np.float32)
MODEL = """
<ir_version: 10, opset_import: ["" : 21]>
products (float[rows, length, 13] x) => (float[rows, length, 17] y, float[rows, length, length] z, float[rows, length, 17] plain) {
  wide = Cast <to = 1> (weights)
  product = MatMul (x, wide)
  y = Add (bias, product)
  turned = Transpose <perm = [0, 2, 1]> (x)
  z = MatMul (x, turned)
  positive = Relu (x)
  plain = MatMul (positive, wide)
}
"""  # noqa: E501
X = RANDOM.normal(size=(11, 5, 13)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    model = onnx.parser.parse_model(MODEL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHTS, "weights"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(BIAS, "bias"))
    return model


@pytest.fixture(scope="module")
def int8(model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    path = tmp_path_factory.mktemp("int8") / "float.onnx"
    onnx.save(model, str(path))
    run, ranges = observe(path)
    for x in X[:, None]:
        assert set(run({"x": x})) == {"y", "z", "plain"}
    assert ranges == {"x": (X.min(), X.max()), "positive": (0.0, X.max())}
    made = quantize(model, ranges)
    assert [node.op_type for node in model.graph.node].count("MatMul") == 3  # the input is unchanged
    kinds = [node.op_type for node in made.graph.node]
    assert (kinds.count("MatMul"), kinds.count("Add")) == (1, 0)  # a product of two inputs stays; the bias is merged
    return ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = session.run(["y", "z", "plain"], {"x": x})
    return found


def test_products_are_within_two_percent(int8: ort.InferenceSession) -> None:
    y, z, plain = run(int8, X)
    wide = WEIGHTS.astype(np.float32)
    for actual, x, bias in ((y, X, BIAS), (plain, X.clip(min=0), 0)):
        size = np.linalg.norm(x, axis=-1, keepdims=True) * np.linalg.norm(wide, axis=0)
        assert (np.abs(actual - (x @ wide + bias)) / size).max() < 0.02
        assert np.abs(actual - (x @ wide + bias)).max() > 0  # the product is quantised
    np.testing.assert_allclose(z, X @ X.transpose(0, 2, 1), rtol=1e-5, atol=1e-5)


def test_rows_are_independent(int8: ort.InferenceSession) -> None:
    x = X.copy()
    x[1:] *= 100
    alone, together = run(int8, x[:1]), run(int8, x)
    assert np.array_equal(alone[0][0], together[0][0])
    assert np.array_equal(alone[2][0], together[2][0])


def test_inputs_are_clipped_to_the_observed_range(int8: ort.InferenceSession) -> None:
    most = np.full((1, 1, 13), X.max(), np.float32)
    np.testing.assert_allclose(run(int8, most * 9)[2], run(int8, most)[2], rtol=1e-5)


def test_zero_inputs_give_the_bias(int8: ort.InferenceSession) -> None:
    y, _, plain = run(int8, np.zeros((2, 3, 13), np.float32))
    np.testing.assert_array_equal(y, np.broadcast_to(BIAS, y.shape))
    assert not plain.any()


def test_two_products_fit_into_16_bits() -> None:
    assert 2 * INPUT_LEVELS * WEIGHT_LEVELS < 2**15
