"""Graphs whose products by weights are in int8."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from training.graphs.int8 import in_int8

RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.normal(size=(13, 17)).astype(np.float16)
MODEL = """
<ir_version: 10, opset_import: ["" : 21]>
two_products (float[rows, length, 13] x) => (float[rows, length, 17] y, float[rows, length, length] z) {
  wide = Cast <to = 1> (weights)
  y = MatMul (x, wide)
  turned = Transpose <perm = [0, 2, 1]> (x)
  z = MatMul (x, turned)
}
"""


@pytest.fixture(scope="module")
def int8() -> ort.InferenceSession:
    model = onnx.parser.parse_model(MODEL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHTS, "weights"))
    made = in_int8(model)
    assert [node.op_type for node in model.graph.node].count("MatMul") == 2  # it is left as it was
    assert [node.op_type for node in made.graph.node].count("MatMul") == 1  # no product of two inputs
    return ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = session.run(["y", "z"], {"x": x})
    return found


def test_products_are_right_to_one_part_in_a_hundred(int8: ort.InferenceSession) -> None:
    """However large one column of the weights or one row is beside the others."""
    x = RANDOM.normal(size=(3, 5, 13)).astype(np.float32) * np.array([1e-3, 1, 1e3], np.float32)[:, None, None]
    y, z = run(int8, x)
    expected = x @ WEIGHTS.astype(np.float32)
    size = np.linalg.norm(x, axis=-1, keepdims=True) * np.linalg.norm(WEIGHTS.astype(np.float32), axis=0)
    assert (np.abs(y - expected) / size).max() < 0.01
    assert np.abs(y - expected).max() > 0  # it is rounded after all
    np.testing.assert_allclose(z, x @ x.transpose(0, 2, 1), rtol=1e-5)


def test_a_row_does_not_depend_on_the_others(int8: ort.InferenceSession) -> None:
    x = RANDOM.normal(size=(11, 5, 13)).astype(np.float32)
    x[1:] *= 100
    alone, together = run(int8, x[:1])[0], run(int8, x)[0]
    assert np.array_equal(alone[0], together[0])


def test_nothing_times_anything_is_nothing(int8: ort.InferenceSession) -> None:
    y, _ = run(int8, np.zeros((2, 3, 13), np.float32))
    assert not y.any()
