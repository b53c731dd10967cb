"""Serves attention models from ONNX bundles: predictions and the attention behind them."""

import os

# onnxruntime keeps a device id and a database of events unless told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
