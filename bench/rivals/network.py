"""Tokenizer and ONNX graph of a bundle. Does not import `service`, which BentoML's environment lacks."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from bench.rivals import BUNDLE

ROWS = 32
"""Maximum texts of a batch, for servers that batch."""


class Network:
    """Classify texts with one onnxruntime session.

    One thread serves twice the requests of onnxruntime's default where the HTTP server shares the cores.
    """

    def __init__(self, bundle: Path, threads: int = 1):
        manifest = json.loads((bundle / "bundle.json").read_bytes())
        self.labels = manifest["labels"]
        self.tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        self.tokenizer.enable_truncation(manifest["limits"]["max_tokens"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(bundle / "classify.onnx", options)

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        encodings = [self.tokenizer.encode(text) for text in texts]
        lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
        ids = np.zeros((len(texts), lengths.max()), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : lengths[row]] = encoding.ids
        outputs = ["probabilities", "attention_weights"]
        probabilities, weights = self.session.run(outputs, {"ids": ids, "lengths": lengths})
        return [
            {
                "label": self.labels[scores.argmax()],
                "score": scores.max().item(),
                "scores": dict(zip(self.labels, scores.tolist(), strict=True)),
                "tokens": [{"text": text[start:end], "start": start, "end": end} for start, end in encoding.offsets],
                "attention": [{"kind": "pooling", "weights": row[:, : len(encoding.ids)].tolist()}],
            }
            for text, encoding, scores, row in zip(texts, encodings, probabilities, weights, strict=True)
        ]


def network() -> Network:
    """Load the bundle that BENCH_BUNDLE names."""
    return Network(Path(os.environ[BUNDLE]))
