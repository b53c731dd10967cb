"""Lexical shortlists: the target tokens that are likely in a translation, from the source tokens.

The output layer of a translator is computed for these tokens only (Jean et al. 2015, "On Using Very Large Target
Vocabulary for Neural Machine Translation", section 3.3).

Legend: V source vocabulary, N entries of all lists.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import SHORTLIST_FILE
from service.errors import BundleCorrupt

Ids = NDArray[np.int64]
TENSORS = ("offsets", "target_ids", "common_ids")
"""Tensors of `shortlist.safetensors`, all int32."""


@dataclass(frozen=True)
class Shortlist:
    """The likely target tokens of each source token."""

    offsets: Ids
    """[V + 1]: target_ids[offsets[i]:offsets[i + 1]] is the list of source token i."""
    target_ids: Ids
    """[N]"""
    common_ids: Ids
    """Frequent target tokens, in the shortlist of every sentence."""

    def targets(self, source_ids: Iterable[int], others: Iterable[int] = ()) -> Ids:
        """Return the shortlist of a sentence, sorted: likely and common tokens, and `others`."""
        lists = [self.target_ids[self.offsets[i] : self.offsets[i + 1]] for i in dict.fromkeys(source_ids)]
        ids = np.concatenate([self.common_ids, np.fromiter(others, np.int64), *lists])
        flags = np.zeros(ids.max(initial=-1) + 1, np.bool_)
        flags[ids] = True
        return np.flatnonzero(flags)  # faster than a sort


def read_shortlist(content: bytes, source_vocabulary: int, target_vocabulary: int) -> Shortlist:
    """Parse `shortlist.safetensors`. Raises BundleCorrupt."""
    try:
        tensors = _read_safetensors(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleCorrupt(f"{SHORTLIST_FILE} cannot be read: {error!r}") from None
    offsets, target_ids, common_ids = (tensors[name] for name in TENSORS)
    ids = np.concatenate([target_ids, common_ids])
    valid = (
        len(offsets) == source_vocabulary + 1
        and offsets[0] == 0
        and offsets[-1] == len(target_ids)
        and (np.diff(offsets) >= 0).all()
        and ((ids >= 0) & (ids < target_vocabulary)).all()
    )
    if not valid:
        raise BundleCorrupt(f"{SHORTLIST_FILE} does not fit the vocabulary")
    return Shortlist(offsets, target_ids, common_ids)


def _read_safetensors(content: bytes) -> dict[str, Ids]:
    """Return the int32 vectors of a safetensors file: a length of 8 bytes, a JSON header, the data."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    tensors: dict[str, Ids] = {}
    for name in TENSORS:
        start, end = header[name]["data_offsets"]
        if header[name]["dtype"] != "I32" or not 0 <= start <= end <= len(data):
            raise ValueError(f"{name} is no int32 tensor of the file")
        tensors[name] = np.frombuffer(data[start:end], "<i4").astype(np.int64)
    return tensors
