"""Serve attention models from ONNX bundles: predictions, and the attention weights of each."""

import os

# onnxruntime stores a device id and an event database unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
