import json

import numpy as np
import pytest

from service.bundle.shortlist import TENSORS, read_shortlist
from service.errors import BundleCorrupt

GOOD = {"offsets": [0, 2, 2, 3], "target_ids": [4, 1, 2], "common_ids": [0, 3]}


def safetensors(tensors: dict[str, list[int]], dtype: str = "I32") -> bytes:
    header, data = {}, b""
    for name, values in tensors.items():
        content = np.array(values, "<i4").tobytes()
        header[name] = {"dtype": dtype, "shape": [len(values)], "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_shortlist_of_a_sentence() -> None:
    shortlist = read_shortlist(safetensors(GOOD), 3, 5)
    assert shortlist.targets([0]).tolist() == [0, 1, 3, 4]
    assert shortlist.targets([2, 1, 2]).tolist() == [0, 2, 3]
    assert shortlist.targets([], [4, 4]).tolist() == [0, 3, 4]


@pytest.mark.parametrize("sizes", [(4, 5), (3, 4)])
def test_another_vocabulary_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(BundleCorrupt, match="does not fit the vocabulary"):
        read_shortlist(safetensors(GOOD), *sizes)


@pytest.mark.parametrize(
    "changes", [{"offsets": [1, 2, 2, 3]}, {"offsets": [0, 2, 1, 3]}, {"offsets": [0, 2, 2, 2]}, {"common_ids": [-1]}]
)
def test_wrong_lists_are_refused(changes: dict[str, list[int]]) -> None:
    with pytest.raises(BundleCorrupt, match="does not fit the vocabulary"):
        read_shortlist(safetensors(GOOD | changes), 3, 5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        safetensors(GOOD)[:-4],
        safetensors(GOOD, "F32"),
        safetensors({name: GOOD[name] for name in TENSORS[:2]}),
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_a_file_that_is_no_shortlist_is_refused(content: bytes) -> None:
    with pytest.raises(BundleCorrupt, match="cannot be read"):
        read_shortlist(content, 3, 5)
