"""A text made from another one, with the span of the original behind each character."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.batching import budget

Span = tuple[int, int]
Offsets = NDArray[np.int32]


@dataclass(frozen=True)
class MappedText:
    """A text, and for each of its characters the span of the original text that it stands for."""

    text: str
    starts: Offsets
    ends: Offsets
    length: int
    """Length of the original text."""

    @classmethod
    def copy_of(cls, original: str) -> "MappedText":
        places = np.arange(len(original) + 1, dtype=np.int32)
        return cls(original, places[:-1], places[1:], len(original))

    @classmethod
    def from_runs(cls, runs: Sequence[tuple[str, int, int]], length: int) -> "MappedText":
        """From (text, start, end) in order. A run as long as its span is mapped character by character; each character
        of any other run stands for the whole span."""
        starts, ends = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for text, start, end in runs:
            budget.check()
            if len(text) == end - start:
                places = np.arange(start, end + 1, dtype=np.int32)
                starts.append(places[:-1])
                ends.append(places[1:])
            else:
                starts.append(np.full(len(text), start, np.int32))
                ends.append(np.full(len(text), end, np.int32))
        return cls("".join(text for text, _, _ in runs), np.concatenate(starts), np.concatenate(ends), length)

    def span(self, start: int, end: int) -> Span:
        """The span of the original that text[start:end] stands for.

        >>> MappedText.from_runs([("a", 0, 1), ("&", 1, 6)], 6).span(1, 2)
        (1, 6)
        """
        if start < end:
            return int(self.starts[start]), int(self.ends[end - 1])
        if start < len(self.text):
            place = int(self.starts[start])
        else:
            place = int(self.ends[-1]) if self.text else self.length
        return place, place

    def replace(self, edits: Sequence[tuple[int, int, str]]) -> tuple["MappedText", Offsets]:
        """Replace text[start:end] by another string, for each of (start, end, string) in order and without overlap.

        A string as long as its span is mapped character by character; each character of any other string stands for
        the whole span. The second result is the new offset of each old one, [len(text) + 1]; offsets inside of a
        replaced span become its start.
        """
        texts: list[str] = []
        starts: list[Offsets] = []
        ends: list[Offsets] = []
        sizes = np.ones(len(self.text), np.int32)
        position = 0
        for start, end, string in edits:
            budget.check()
            texts += [self.text[position:start], string]
            starts.append(self.starts[position:start])
            ends.append(self.ends[position:start])
            if len(string) == end - start:
                starts.append(self.starts[start:end])
                ends.append(self.ends[start:end])
            else:
                original = self.span(start, end)
                starts.append(np.full(len(string), original[0], np.int32))
                ends.append(np.full(len(string), original[1], np.int32))
            sizes[start:end] = 0
            sizes[end - 1] = len(string)
            position = end
        text = "".join([*texts, self.text[position:]])
        places = np.concatenate([np.zeros(1, np.int32), sizes.cumsum(dtype=np.int32)])
        return MappedText(
            text,
            np.concatenate([*starts, self.starts[position:]]),
            np.concatenate([*ends, self.ends[position:]]),
            self.length,
        ), places

    def slice(self, start: int, end: int) -> "MappedText":
        return MappedText(self.text[start:end], self.starts[start:end], self.ends[start:end], self.length)
