"""Beam search and sampling over a step function. Needs numpy only, except `onnx_step`, which runs a bundle's graph."""
