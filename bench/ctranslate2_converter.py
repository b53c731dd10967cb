"""Convert a Transformer translation bundle to a CTranslate2 model with the same weights."""

from pathlib import Path

import numpy as np
import torch
from ctranslate2.specs import TransformerSpec, attention_spec, common_spec, transformer_spec
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from service.bundle.files import read_manifest
from service.bundle.manifest import WEIGHTS
from training.networks.transformer import sinusoidal_positions

MAX_POSITIONS = 512

Stored = dict[str, np.ndarray]


class Weights:
    """Stored arrays under a name prefix, converted to float32."""

    def __init__(self, stored: Stored, prefix: str = ""):
        self.stored, self.prefix = stored, prefix

    def __getitem__(self, name: str) -> "Weights":
        return Weights(self.stored, f"{self.prefix}{name}.")

    def array(self, name: str) -> np.ndarray:
        return self.stored[self.prefix + name].astype(np.float32)

    def linear(self, spec: common_spec.LinearSpec, *names: str) -> None:
        """Concatenate layers with the same input into one, as CTranslate2 requires."""
        spec.weight = np.concatenate([self.array(f"{name}.weight") for name in names])
        spec.bias = np.concatenate([self.array(f"{name}.bias") for name in names])

    def norm(self, spec: common_spec.LayerNormSpec, name: str) -> None:
        spec.gamma, spec.beta = self.array(f"{name}.weight"), self.array(f"{name}.bias")

    def sub_layer_norm(self, spec: common_spec.LayerNormSpec, name: str) -> None:
        self.norm(spec, f"{name}_residual.norm")


def convert_layer(spec: object, weights: Weights, decoder: bool) -> None:
    own: attention_spec.MultiHeadAttentionSpec = spec.self_attention  # type: ignore[attr-defined]
    attention = weights["self_attention"]
    attention.linear(own.linear[0], "query_layer", "key_layer", "value_layer")
    attention.linear(own.linear[1], "output_layer")
    weights.sub_layer_norm(own.layer_norm, "self")
    if decoder:
        cross: attention_spec.MultiHeadAttentionSpec = spec.attention  # type: ignore[attr-defined]
        attention = weights["cross_attention"]
        attention.linear(cross.linear[0], "query_layer")
        attention.linear(cross.linear[1], "key_layer", "value_layer")
        attention.linear(cross.linear[2], "output_layer")
        weights.sub_layer_norm(cross.layer_norm, "cross")
    feed_forward: transformer_spec.FeedForwardSpec = spec.ffn  # type: ignore[attr-defined]
    weights["feed_forward"].linear(feed_forward.linear_0, "inner")
    weights["feed_forward"].linear(feed_forward.linear_1, "outer")
    weights.sub_layer_norm(feed_forward.layer_norm, "feed_forward")


def convert(bundle: Path, folder: Path) -> None:
    """Write the bundle `models/<name>/<version>` as a model folder for `ctranslate2.Translator`."""
    manifest = read_manifest(bundle)
    network = manifest.training.recipe["network"]
    assert isinstance(network, dict) and network["network"] == "transformer"
    weights = Weights(load_file(bundle / WEIGHTS))
    pre_norm = network.get("norm", "pre") == "pre"
    layers = (network["encoder_layers"], network["decoder_layers"])
    spec = TransformerSpec.from_config(layers, network["heads"], pre_norm=pre_norm)
    embedding = weights.array("embedding.weight")
    positions = sinusoidal_positions(torch.arange(MAX_POSITIONS), network["size"]).numpy()
    for side, name, norm in (
        (spec.encoder, "encoder_layers", "encoder_norm"),
        (spec.decoder, "decoder_layers", "decoder_norm"),
    ):
        decoder = side is spec.decoder
        embedded = side.embeddings if decoder else side.embeddings[0]
        embedded.weight = embedding
        embedded.multiply_by_sqrt_depth = True
        side.position_encodings.encodings = positions
        if pre_norm:
            weights.norm(side.layer_norm, norm)
        for number, layer in enumerate(side.layer):
            convert_layer(layer, weights[name][str(number)], decoder)
    spec.decoder.projection.weight = embedding
    vocabulary = Tokenizer.from_file(str(bundle / manifest.tokenizers["source"])).get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.add_source_eos = False  # the tokenizer appends it
    spec.validate()
    spec.optimize(quantization=None)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
