"""Offline training of attention models: recipes in, ONNX bundles out."""

import os

# Read when torch is loaded. Its exporter warns of shapes that the parity check compares anyway.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
