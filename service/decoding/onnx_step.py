"""The `step` graph of a bundle as a DecoderStep.

Legend: B sentences, R rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import Arrays, Candidates, Ids, Rows
from service.runtime import Session, Value, Values


@dataclass
class OnnxState:
    """Decoder state of the sentences of a batch."""

    source: Arrays
    """Encoder outputs that the step reads [B, ...], padded on the right."""
    source_values: Values
    """`source` on the device of the network."""
    past: Values
    """State of each row of the last step [R, ...], padded on the left."""


class OnnxStep:
    """Runs a `step` graph. The manifest lists the state pairs: which output becomes which input of the next step."""

    def __init__(self, session: Session):
        self._session = session
        graph = session.graph
        self._states = {pair.input: pair.output for pair in graph.state}
        self._reads_lengths = any(tensor.name == "lengths" for tensor in graph.inputs)
        self._inputs = {tensor.name: tensor for tensor in graph.inputs}
        self._length_axes = {
            tensor.name: next((a for a, d in enumerate(tensor.shape) if a > 0 and isinstance(d, str)), None)
            for tensor in graph.inputs
        }
        """Axis of each input that counts source or past tokens. None if there is no such axis."""
        self._counts: dict[int, Value] = {}
        """The input `candidates` by its number."""

    def start(self, encoded: Arrays, batch: int) -> OnnxState:
        """Return the initial state of `batch` sentences from the outputs of `encode`, each [B, ...].

        A state input without an output of the same name starts as zeros, of length 0 along symbolic axes.
        """
        past: Values = {}
        for name in self._states:
            tensor = self._inputs[name]
            shape = [batch, *(0 if isinstance(d, str) else d for d in tensor.shape[1:])]
            first = encoded[name] if name in encoded else np.zeros(shape, dtype=tensor.dtype)
            past[name] = self._session.value(first)
        source = {name: array for name, array in encoded.items() if name in self._inputs and name not in self._states}
        return self._state(source, past)

    def _state(self, source: Arrays, past: Values) -> OnnxState:
        values = {name: self._session.value(array) for name, array in source.items()}
        return OnnxState(source, values, past)

    def __call__(
        self, token_ids: Ids, parents: Rows, lengths: Ids, state: OnnxState, count: int, attention: frozenset[str]
    ) -> tuple[Candidates, OnnxState, Arrays]:
        """Run the graph, as in `DecoderStep`. The new past stays on the device."""
        value = self._session.value
        if count not in self._counts:
            self._counts[count] = value(np.array([count]))
        inputs = {"token_ids": value(token_ids), "parents": value(parents), "candidates": self._counts[count]}
        if self._reads_lengths:
            inputs["lengths"] = value(lengths)
        arrays, kept = self._session.run_keeping(
            {**inputs, **state.source_values, **state.past},
            ["top_log_probs", "top_ids", "end_log_probs", *attention],
            list(self._states.values()),
        )
        found: Any = (arrays["top_log_probs"], arrays["top_ids"], arrays["end_log_probs"][:, 0])
        past = {name: kept[output] for name, output in self._states.items()}
        next_state = OnnxState(state.source, state.source_values, past)
        return Candidates(*found), next_state, {name: arrays[name] for name in attention}

    def join(self, *states: OnnxState) -> OnnxState:
        """Concatenate states. Sources are padded on the right, pasts on the left."""
        if len(states) == 1:
            return states[0]
        source = {
            name: self._concatenate(name, [state.source[name] for state in states], "right")
            for name in states[0].source
        }
        past = {
            name: self._session.value(self._concatenate(name, [state.past[name].numpy() for state in states], "left"))
            for name in states[0].past
        }
        return self._state(source, past)

    def _concatenate(self, name: str, arrays: list[NDArray[Any]], side: str) -> NDArray[Any]:
        """Concatenate arrays of one input, padded with zeros on one side to the longest."""
        axis = self._length_axes[name]
        if axis is None:
            return np.concatenate(arrays)
        shape = [sum(len(array) for array in arrays), *arrays[0].shape[1:]]
        shape[axis] = longest = max(array.shape[axis] for array in arrays)
        result, row = np.zeros(shape, arrays[0].dtype), 0
        for array in arrays:
            own = slice(0, array.shape[axis]) if side == "right" else slice(longest - array.shape[axis], None)
            result[(slice(row, row + len(array)), *[slice(None)] * (axis - 1), own)] = array
            row += len(array)
        return result

    def keep(self, state: OnnxState, sentences: Rows, longest: int) -> OnnxState:
        """Select sentences in place and trim the past to the last `longest` tokens."""
        past = dict(state.past)
        for name, value in state.past.items():
            axis = self._length_axes[name]
            if axis is not None and value.shape[axis] > longest:
                recent = (*[slice(None)] * axis, slice(value.shape[axis] - longest, None))
                past[name] = self._session.value(value.numpy()[recent])
        moved = np.flatnonzero(sentences != np.arange(len(sentences)))
        if len(moved):
            origins = sentences[moved]
            for array in state.source.values():
                array[moved] = array[origins]
        source = {name: array[: len(sentences)] for name, array in state.source.items()}
        return self._state(source, past)
