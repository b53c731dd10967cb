"""Changes to a traced ONNX graph: the Attention operator, declared shapes, weights in a shared file.

Every weight is stored once, as float16, in `weights.safetensors`. All graphs of a bundle read from that file, and
the weights have the names of the network's parameters.
"""

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn

from service.bundle.manifest import WEIGHTS, Graph

ATTENTION_OPSET = 23
"""The first opset with the Attention operator. The other operators of the graphs are the same as in opset 20."""
CUSTOM_DOMAIN = "limelight"
"""Domain of traced operators that the exporter does not know (`networks.attention.OnnxAttention`)."""
IR_VERSION = 11

Offsets = dict[str, tuple[int, int]]
"""Parameter name -> offset and length in the weights file, in bytes."""


def use_standard_attention(model: onnx.ModelProto) -> None:
    """Move the operators of the custom domain to the ONNX domain, and raise the opset to ATTENTION_OPSET."""
    for node in model.graph.node:
        if node.domain == CUSTOM_DOMAIN:
            node.domain = ""
    model.ClearField("opset_import")
    model.opset_import.append(helper.make_opsetid("", ATTENTION_OPSET))
    model.ir_version = IR_VERSION


def drop_unused_outputs(model: onnx.ModelProto) -> None:
    """Remove unused outputs of Attention nodes, so that onnxruntime does not copy keys and values."""
    used = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Attention":
            node.output[:] = [name if name in used else "" for name in node.output]


def declare_shapes(model: onnx.ModelProto, graph: Graph) -> None:
    """Give inputs and outputs the shapes of the manifest instead of the traced ones."""
    listed = {tensor.name: tensor for tensor in [*graph.inputs, *graph.outputs]}
    for value in [*model.graph.input, *model.graph.output]:
        tensor = listed[value.name]
        element = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, element, tensor.shape))


def link_weights(model: onnx.ModelProto, offsets: Offsets) -> None:
    """Replace each weight by a float16 reference to the weights file and a Cast to float32.

    onnxruntime folds the Casts when it loads the graph.
    """
    casts, kept = [], []
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix("network.")
        if name not in offsets:
            kept.append(tensor)
            continue
        offset, length = offsets[name]
        stored = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=tensor.dims)
        stored.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", str(offset)), ("length", str(length))):
            stored.external_data.add(key=key, value=value)
        kept.append(stored)
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT, name=f"widen.{name}"))
    nodes = list(model.graph.node)
    for field, content in (("initializer", kept), ("node", [*casts, *nodes])):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(content)


def write_weights(network: nn.Module, path: Path) -> Offsets:
    """Write every parameter as float16 and return its place in the file."""
    named = dict(network.named_parameters())  # tied parameters appear once
    save_file({name: p.detach().half().contiguous() for name, p in named.items()}, path)
    path.chmod(0o644)  # safetensors creates files that only the owner can read
    content = path.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_length])
    start = 8 + header_length
    return {
        name: (start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }
