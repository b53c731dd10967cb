"""The networks of the fake bundles, as ONNX text and in numpy (one text at a time).

The classifier averages evidence per token with weights from a table. The translator prefers, at target position t, the
token of source position t, so its translation ends where the source ends.

Legend: B batch, R rows, S source or text length, T target length, V vocabulary, N heads, C labels, D state size.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from service.bundle.manifest import Graph, StatePair, TensorInfo

Floats = NDArray[np.floating]

V, D, N, C = 151, 5, 2, 3
WINDOW = 7
"""Attention window of the language model in tokens."""
PAD, UNK, BOS, EOS = range(4)
OUTPUTS = [*range(4), *range(5, V, 2)]
"""Tokens that the restricted output layer knows."""
SHARPNESS = np.array([4.0, 1.5], dtype=np.float32)  # [N]

_random = np.random.default_rng(7)


def _table(*shape: int) -> NDArray[np.float32]:
    return _random.normal(size=shape).astype(np.float32)


EMBEDDING, STYLE = _table(V, D), _table(D, V) / 2
LEXICON = 12 * np.eye(V, dtype=np.float32) + _table(V, V)
IMPORTANCE, EVIDENCE = _table(V), 2 * _table(V, C)
QUERIES, KEYS = _table(V, N), _table(V, N)

SHARES = (np.random.default_rng(11).normal(size=(V, C)) / 100).astype(np.float32)
"""Share of each token in the scores of the linear classifier. The unknown symbol has none."""
SHARES[UNK] = 0

CONSTANTS: dict[str, NDArray[Any]] = {
    "shares": SHARES,
    "third": np.array(1 / 3, dtype=np.float32),
    "embedding": EMBEDDING,
    "style": STYLE,
    "lexicon": LEXICON,
    "importance": IMPORTANCE,
    "evidence": EVIDENCE,
    "queries": QUERIES,
    "keys": KEYS,
    "sharpness": SHARPNESS[:, None],
    "minus_infinity": np.array(-np.inf, dtype=np.float32),
    "half": np.array(0.5, dtype=np.float32),
    "zero": np.array(0),
    "one": np.array(1),
    "end": np.array([EOS]),
    "outputs": np.array(OUTPUTS),
    "outputs_end": np.array([OUTPUTS.index(EOS)]),
    **{f"axis_{axis}": np.array([axis]) for axis in (1, 2, 3)},
    "axes_12": np.array([1, 2]),
    "any": np.array([-1]),
    "heads": np.array([N]),
    "words": np.array([-1, V]),
    "short": np.array([1 - WINDOW]),
    "most": np.array([10**6]),
}

_SELF_ATTENTION = """
  length = Shape <start = 1, end = 2> (ids)
  length_ = Squeeze (length)
  positions = Range (zero, length_, one)
  ends = Unsqueeze (lengths, axis_1)
  padding = GreaterOrEqual (positions, ends)
  queries_BSN = Gather (queries, ids)
  queries_BNS = Transpose <perm = [0, 2, 1]> (queries_BSN)
  queries_BNS1 = Unsqueeze (queries_BNS, axis_3)
  keys_BSN = Gather (keys, ids)
  keys_BNS = Transpose <perm = [0, 2, 1]> (keys_BSN)
  keys_BN1S = Unsqueeze (keys_BNS, axis_2)
  products = Mul (queries_BNS1, keys_BN1S)
  padding_B11S = Unsqueeze (padding, axes_12)
  masked_products = Where (padding_B11S, minus_infinity, products)
  self_BNSS = Softmax <axis = -1> (masked_products)
"""
_DECODER_SELF_ATTENTION = """
  embedded = Gather (embedding, token_ids)
  own_past = Gather (past, parents)
  embedded_R1D = Unsqueeze (embedded, axis_1)
  history = Concat <axis = 1> (own_past, embedded_R1D)
  embedded_RD1 = Unsqueeze (embedded, axis_2)
  likeness = MatMul (history, embedded_RD1)
  likeness_R1T = Transpose <perm = [0, 2, 1]> (likeness)
  likenesses = Mul (likeness_R1T, sharpness)
  past_length_ = Shape <start = 1, end = 2> (past)
  past_length__ = Squeeze (past_length_)
  all_length = Add (past_length__, one)
  places = Range (zero, all_length, one)
  first = Sub (past_length_, lengths)
  first_R1 = Unsqueeze (first, axis_1)
  own_RT = GreaterOrEqual (places, first_R1)
  own_R1T = Unsqueeze (own_RT, axis_1)
  own_likenesses = Where (own_R1T, likenesses, minus_infinity)
  decoder_RNT = Softmax <axis = -1> (own_likenesses)
  decoder_self_0 = Unsqueeze (decoder_RNT, axis_2)
"""
_CROSS_ATTENTION = f"""
  own_mood = Gather (mood, parents)
  own_clock = Gather (clock, parents)
{_DECODER_SELF_ATTENTION}
  moods = Add (own_mood, embedded)
  next_mood = Mul (moods, half)
  one_float = Cast <to = 1> (one)
  next_clock = Add (own_clock, one_float)
  sentences_ = Shape <start = 0, end = 1> (source_mask)
  length = Shape <start = 1, end = 2> (source_mask)
  together = Concat <axis = 0> (sentences_, any, length)
  length_ = Squeeze (length)
  positions_ = Range (zero, length_, one)
  positions = Cast <to = 1> (positions_)
  offsets = Sub (positions, own_clock)
  distances = Abs (offsets)
  distances_R1S = Unsqueeze (distances, axis_1)
  sharp = Mul (distances_R1S, sharpness)
  nearness_RNS = Neg (sharp)
  nearness = Reshape (nearness_RNS, together)
  mask_B1S = Unsqueeze (source_mask, axis_1)
  masked = Where (mask_B1S, nearness, minus_infinity)
  cross_BXS = Softmax <axis = -1> (masked)
  heads_apart = Concat <axis = 0> (any, heads, length)
  cross_RNS = Reshape (cross_BXS, heads_apart)
  cross_0 = Unsqueeze (cross_RNS, axis_2)
  cross_1 = ReduceMean <axes = [1], keepdims = 1> (cross_RNS)
  cross_BWS = Reshape (cross_1, together)
"""
GRAPHS: dict[str, str] = {
    "classify": f"""
classify (int64[batch, length] ids, int64[batch] lengths) =>
  (float[batch, {C}] probabilities, float[batch, 1, length] pooling, float[batch, {N}, length, length] self_0) {{
{_SELF_ATTENTION}
  self_0 = Identity (self_BNSS)
  scores = Gather (importance, ids)
  masked_scores = Where (padding, minus_infinity, scores)
  weights = Softmax <axis = -1> (masked_scores)
  pooling = Unsqueeze (weights, axis_1)
  evidence_BSC = Gather (evidence, ids)
  pooled_B1C = MatMul (pooling, evidence_BSC)
  pooled_BC = Squeeze (pooled_B1C, axis_1)
  probabilities = Softmax <axis = -1> (pooled_BC)
}}""",
    # A bag of words: the scores are sums of shares, so the influence of each token is known exactly.
    "linear": f"""
classify (int64[batch, length] ids, int64[batch] lengths) =>
  (float[batch, {C}] probabilities, float[batch, 1, length] even, float[batch, {C}, 1, length] contributions) {{
  length_ = Shape <start = 1, end = 2> (ids)
  length__ = Squeeze (length_)
  positions = Range (zero, length__, one)
  ends = Unsqueeze (lengths, axis_1)
  real_BS = Less (positions, ends)
  real = Cast <to = 1> (real_BS)
  real_B1S = Unsqueeze (real, axis_1)
  shares_BSC = Gather (shares, ids)
  sum_B1C = MatMul (real_B1S, shares_BSC)
  sum_BC = Squeeze (sum_B1C, axis_1)
  probabilities = Add (sum_BC, third)
  even = LpNormalization <axis = -1, p = 1> (real_B1S)
  shares_BCS = Transpose <perm = [0, 2, 1]> (shares_BSC)
  real_shares_BCS = Mul (shares_BCS, real_B1S)
  contributions = Unsqueeze (real_shares_BCS, axis_2)
}}""",
    "encode": f"""
encode (int64[batch, source_length] source_ids, int64[batch] source_lengths) =>
  (bool[batch, source_length] source_mask, float[batch, source_length, {V}] wishes, float[batch, {D}] mood,
   float[batch, {N}, source_length, source_length] encoder_self_0) {{
  ids = Identity (source_ids)
  lengths = Identity (source_lengths)
{_SELF_ATTENTION}
  encoder_self_0 = Identity (self_BNSS)
  source_mask = Not (padding)
  wishes = Gather (lexicon, ids)
  first_ids = Gather <axis = 1> (ids, zero)
  mood = Gather (embedding, first_ids)
}}""",
    # Three kinds of state: `mood` starts as an output of encode, `clock` as zero, `past` with length 0.
    "step": f"""
step (int64[rows] token_ids, int64[rows] parents, int64[rows] lengths, int64[1] candidates,
      bool[sentences, source_length] source_mask, float[sentences, source_length, {V}] wishes,
      float[before, {D}] mood, float[before, 1] clock, float[before, past_length, {D}] past) =>
  (float[rows, candidates] top_log_probs, int64[rows, candidates] top_ids, float[rows, 1] end_log_probs,
   float[rows, {D}] next_mood, float[rows, 1] next_clock,
   float[rows, target_length, {D}] history, float[rows, {N}, 1, source_length] cross_0,
   float[rows, 1, source_length] cross_1, float[rows, {N}, 1, target_length] decoder_self_0) {{
{_CROSS_ATTENTION}
  wish_BWV = MatMul (cross_BWS, wishes)
  wish = Reshape (wish_BWV, words)
  bias = MatMul (next_mood, style)
  logits = Add (wish, bias)
  log_probs = LogSoftmax <axis = -1> (logits)
  end_log_probs = Gather <axis = 1> (log_probs, end)
  top_log_probs, top_ids = TopK (log_probs, candidates)
}}""",
    # The translator's step with an output layer that knows OUTPUTS only.
    "restricted_step": f"""
step (int64[rows] token_ids, int64[rows] parents, int64[rows] lengths, int64[1] candidates,
      bool[sentences, source_length] source_mask, float[sentences, source_length, {V}] wishes,
      float[before, {D}] mood, float[before, 1] clock, float[before, past_length, {D}] past) =>
  (float[rows, candidates] top_log_probs, int64[rows, candidates] top_ids, float[rows, 1] end_log_probs,
   float[rows, {D}] next_mood, float[rows, 1] next_clock,
   float[rows, target_length, {D}] history, float[rows, {N}, 1, source_length] cross_0,
   float[rows, 1, source_length] cross_1, float[rows, {N}, 1, target_length] decoder_self_0) {{
{_CROSS_ATTENTION}
  own_wishes = Gather <axis = 2> (wishes, outputs)
  own_style = Gather <axis = 1> (style, outputs)
  wish_BWU = MatMul (cross_BWS, own_wishes)
  size = Shape (outputs)
  rows_apart = Concat <axis = 0> (any, size)
  wish = Reshape (wish_BWU, rows_apart)
  bias = MatMul (next_mood, own_style)
  logits = Add (wish, bias)
  log_probs = LogSoftmax <axis = -1> (logits)
  end_log_probs = Gather <axis = 1> (log_probs, outputs_end)
  count = Min (candidates, size)
  top_log_probs, top_indices = TopK (log_probs, count)
  top_ids = Gather (outputs, top_indices)
}}""",
    # The language model. Its next token depends on all tokens (`mood`) and on the attention window (`kept`).
    "write": f"""
step (int64[rows] token_ids, int64[rows] parents, int64[rows] lengths, int64[1] candidates,
      float[before, {D}] mood, float[before, past_length, {D}] past) =>
  (float[rows, candidates] top_log_probs, int64[rows, candidates] top_ids, float[rows, 1] end_log_probs,
   float[rows, {D}] next_mood, float[rows, kept_length, {D}] kept,
   float[rows, {N}, 1, seen_length] decoder_self_0) {{
{_DECODER_SELF_ATTENTION}
  kept = Slice (history, short, most, axis_1)
  own_mood = Gather (mood, parents)
  moods = Add (own_mood, embedded)
  next_mood = Mul (moods, half)
  looked_RNTD = MatMul (decoder_RNT, history)
  looked = ReduceMean <axes = [1], keepdims = 0> (looked_RNTD)
  feeling = Add (next_mood, looked)
  logits = MatMul (feeling, style)
  log_probs = LogSoftmax <axis = -1> (logits)
  end_log_probs = Gather <axis = 1> (log_probs, end)
  top_log_probs, top_ids = TopK (log_probs, candidates)
}}""",
}
STATE = {"next_mood": "mood", "next_clock": "clock", "history": "past", "kept": "past"}


def write_graph(folder: Path, name: str) -> Graph:
    """Write `<role>.onnx` and return its entry of the manifest."""
    graph = onnx.parser.parse_graph(GRAPHS[name])
    role: Any = graph.name
    used = {name for node in graph.node for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(CONSTANTS[name], name) for name in sorted(used & set(CONSTANTS)))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / f"{role}.onnx")
    return Graph(
        role=role,
        file=f"{role}.onnx",
        precision="float32",
        inputs=[_described(value) for value in graph.input],
        outputs=[_described(value) for value in graph.output],
        state=[StatePair(output=v.name, input=STATE[v.name]) for v in graph.output if v.name in STATE],
    )


def _described(value: onnx.ValueInfoProto) -> TensorInfo:
    dtypes: dict[int, Any] = {1: "float32", 7: "int64", 9: "bool"}
    tensor = value.type.tensor_type
    shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return TensorInfo(name=value.name, dtype=dtypes[tensor.elem_type], shape=shape)


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def classify(ids: list[int]) -> tuple[Floats, Floats, Floats]:
    """Ids -> probabilities [C], pooling [1, S], self-attention [N, S, S]."""
    pooling = softmax(IMPORTANCE[ids])[None]
    products = QUERIES[ids].T[:, :, None] * KEYS[ids].T[:, None, :]
    return softmax((pooling @ EVIDENCE[ids])[0]), pooling, softmax(products)


def write(ids: list[int], count: int) -> tuple[list[int], float, Floats]:
    """Ids -> the greedy continuation, its log-probability, the attention averaged over the heads [T, P + T - 1]."""
    read: list[Floats] = []
    mood, total = np.zeros(D), 0.0
    found: list[int] = []
    attention = np.zeros((count, len(ids) + count - 1))
    while len(found) < count:
        for token in ids[len(read) :] or found[-1:]:
            mood = (mood + EMBEDDING[token]) / 2
            read.append(EMBEDDING[token])
        seen = np.array(read[-WINDOW:])
        heads = softmax(SHARPNESS[:, None] * (seen @ read[-1]))
        attention[len(found), len(read) - len(seen) : len(read)] = heads.mean(axis=0)
        log_probs = np.log(softmax((mood + (heads @ seen).mean(axis=0)) @ STYLE))
        log_probs[[PAD, UNK, BOS]] = -np.inf
        token = int(log_probs.argmax())
        if token == EOS:
            return found, total, attention[: len(found), : len(ids) + len(found) - 1]
        total += float(log_probs[token])
        found.append(token)
    return found, total, attention


def translate(ids: list[int]) -> tuple[list[int], float, Floats]:
    """Ids -> the greedy translation's ids, its score, its cross-attention averaged over the heads [T, S]."""
    mood, last, total = EMBEDDING[ids[0]], BOS, 0.0
    found: list[int] = []
    rows: list[Floats] = []
    while True:
        mood = (mood + EMBEDDING[last]) / 2
        cross = softmax(-SHARPNESS[:, None] * np.abs(np.arange(len(ids)) - len(found))).mean(axis=0)
        log_probs = np.log(softmax((cross @ LEXICON[ids] + mood @ STYLE).astype(np.float64)))
        log_probs[[PAD, UNK, BOS]] = -np.inf
        last = int(log_probs.argmax())
        total += float(log_probs[last])
        if last == EOS:
            return found, total / (len(found) + 1), np.array(rows).reshape(-1, len(ids))
        found.append(last)
        rows.append(cross)
