"""Serves attention models from ONNX bundles: predictions and the attention behind them."""

__version__ = "0.1.0"
