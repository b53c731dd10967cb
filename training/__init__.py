"""Offline training of attention models: recipes in, ONNX bundles out."""
