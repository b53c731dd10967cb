"""Network -> ONNX graphs -> bundle, read back and compared with PyTorch before anything is written.

Legend: B batch, S source or text length, R rows, V vocabulary.

The wrappers below hold what only serving needs (names, masks from lengths, softmax), so that the networks
stay as a reader of the papers expects them. Weights go once into `weights.safetensors`, as float16, and
every graph points into that file: nothing is stored twice, and anyone can read the weights back by name.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from service.bundle import (
    CARD,
    FORMAT_VERSION,
    GOLDEN,
    WEIGHTS,
    Architecture,
    AttentionKind,
    AttentionOutput,
    DataSource,
    Graph,
    GraphRole,
    Limits,
    Manifest,
    SpecialIds,
    StatePair,
    TensorInfo,
    Training,
    sha256_of,
    write_bundle,
)
from training.card import model_card
from training.corpora import CORPORA
from training.fit import load_best, run_folder
from training.networks.classifier import AttentionClassifier
from training.networks.transformer import KeysValues, Transformer
from training.recipe import AnyRecipe, ClassificationRecipe, recipe_hash
from training.tasks import ClassificationTask, TranslationTask
from training.tokenization import BOS, EOS, PAD, UNK, special_id

OPSET = 17
TOLERANCE = 1e-5
"""Largest difference between PyTorch and onnxruntime: absolute, plus as much relative to the value."""
MAX_BEAM_SIZE = 16

Arrays = dict[str, np.ndarray]


class ParityError(RuntimeError):
    """The exported graphs do not compute what the PyTorch network does; no bundle was written."""


class ClassifyGraph(nn.Module):
    """ids [B, S], lengths [B] -> probabilities [B, C], attention weights [B, 1, S] or [B, S, S], if there are any."""

    def __init__(self, network: AttentionClassifier):
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        logits, weights = self.network(ids, lengths)
        return [logits.softmax(-1), *([] if weights is None else [weights])]


class EncodeGraph(nn.Module):
    """source_ids [B, S], source_lengths [B] -> mask, cross keys and values of every decoder layer, self weights."""

    def __init__(self, network: Transformer):
        super().__init__()
        self.network = network

    def forward(self, source_ids: Tensor, source_lengths: Tensor) -> list[Tensor]:
        padding = torch.arange(source_ids.size(1))[None, :] >= source_lengths[:, None]
        encoded = self.network.encode(source_ids.masked_fill(padding, self.network.pad_id))
        return [encoded.source_mask, *(t for pair in encoded.keys_values for t in pair), *encoded.self_weights]


class StepGraph(nn.Module):
    """token_ids [R], source mask, cross and past keys and values -> log_probs [R, V], new past, weights."""

    def __init__(self, network: Transformer):
        super().__init__()
        self.network = network

    def forward(self, token_ids: Tensor, source_mask: Tensor, *keys_values: Tensor) -> list[Tensor]:
        pairs: list[KeysValues] = list(zip(keys_values[::2], keys_values[1::2], strict=True))
        layers = len(self.network.decoder_layers)
        decoded = self.network.decode(token_ids[:, None], source_mask, pairs[:layers], pairs[layers:])
        log_probs = self.network.logits(decoded.states[:, -1]).log_softmax(-1)
        past = [t for pair in decoded.keys_values for t in pair]
        return [log_probs, *past, *decoded.cross_weights, *decoded.self_weights]


def tensors(names: list[str], dtype: Any, shape: list[int | str]) -> list[TensorInfo]:
    return [TensorInfo(name=name, dtype=dtype, shape=shape) for name in names]


def classifier_graphs(recipe: ClassificationRecipe, classes: int) -> tuple[list[Graph], list[AttentionOutput]]:
    inputs = [
        *tensors(["ids"], "int64", ["batch", "length"]),
        *tensors(["lengths"], "int64", ["batch"]),
    ]
    outputs = tensors(["probabilities"], "float32", ["batch", classes])
    attention = []
    if recipe.network.attention != "none":
        whole = recipe.network.query == "self"
        outputs += tensors(["attention_weights"], "float32", ["batch", "length" if whole else 1, "length"])
        kind: AttentionKind = "self" if whole else "pooling"
        attention = [
            AttentionOutput(
                kind=kind, layer=None, heads=None, graph="classify", output="attention_weights", summary=True
            )
        ]
    graph = Graph(role="classify", file="classify.onnx", precision="float32", inputs=inputs, outputs=outputs)
    return [graph], attention


def transformer_graphs(network: Transformer, summary_layer: int) -> tuple[list[Graph], list[AttentionOutput]]:
    config = network.config
    heads, size = config.heads, config.size // config.heads
    layers = range(config.decoder_layers)

    def keys_values(prefix: str, length: str) -> list[TensorInfo]:
        names = [f"{prefix}{part}_{layer}" for layer in layers for part in ("keys", "values")]
        return tensors(names, "float32", ["batch", heads, length, size])

    def weights(kind: str, count: int, queries: int | str, keys: str) -> list[TensorInfo]:
        return tensors([f"{kind}_{i}" for i in range(count)], "float32", ["batch", heads, queries, keys])

    mask = tensors(["source_mask"], "bool", ["batch", "source_length"])
    source, past = keys_values("cross_", "source_length"), keys_values("past_", "past_length")
    present = keys_values("", "target_length")
    encoder_weights = weights("encoder_self", config.encoder_layers, "source_length", "source_length")
    cross_weights = weights("cross", config.decoder_layers, 1, "source_length")
    decoder_weights = weights("decoder_self", config.decoder_layers, 1, "target_length")
    encode = Graph(
        role="encode",
        file="encode.onnx",
        precision="float32",
        inputs=[
            *tensors(["source_ids"], "int64", ["batch", "source_length"]),
            *tensors(["source_lengths"], "int64", ["batch"]),
        ],
        outputs=[*mask, *source, *encoder_weights],
    )
    log_probs = tensors(["log_probs"], "float32", ["batch", config.vocabulary])
    step = Graph(
        role="step",
        file="step.onnx",
        precision="float32",
        inputs=[*tensors(["token_ids"], "int64", ["batch"]), *mask, *source, *past],
        outputs=[*log_probs, *present, *cross_weights, *decoder_weights],
        state=[StatePair(output=new.name, input=old.name) for new, old in zip(present, past, strict=True)],
    )
    roles: list[tuple[Any, GraphRole, list[TensorInfo]]] = [
        ("cross", "step", cross_weights),
        ("encoder_self", "encode", encoder_weights),
        ("decoder_self", "step", decoder_weights),
    ]
    attention = [
        AttentionOutput(
            kind=kind,
            layer=layer,
            heads=heads,
            graph=role,
            output=tensor.name,
            summary=(kind, layer) == ("cross", summary_layer),
        )
        for kind, role, found in roles
        for layer, tensor in enumerate(found)
    ]
    return [encode, step], attention


def round_to_float16(network: nn.Module) -> None:
    """Round every weight to what float16 can hold, so that what is stored is exactly what was compared."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())


def example_inputs(graph: Graph, batch: int = 2, length: int = 3) -> tuple[Tensor, ...]:
    """Inputs of the right shapes to trace a graph with; every symbolic dimension but `batch` is `length`."""
    dtypes = {"int64": torch.int64, "bool": torch.bool, "float32": torch.float32}
    found = []
    for tensor in graph.inputs:
        shape = [batch if d == "batch" else length if isinstance(d, str) else d for d in tensor.shape]
        example = torch.full(shape, length) if tensor.name.endswith("lengths") else torch.ones(shape)
        found.append(example.to(dtypes[tensor.dtype]))
    return tuple(found)


def write_graph(wrapper: nn.Module, graph: Graph, folder: Path, offsets: dict[str, tuple[int, int]]) -> None:
    """Trace a wrapper into folder/graph.file, its weights left in the shared safetensors file."""
    path = folder / graph.file
    dynamic = {
        tensor.name: {axis: d for axis, d in enumerate(tensor.shape) if isinstance(d, str)}
        for tensor in [*graph.inputs, *graph.outputs]
    }
    with warnings.catch_warnings():
        # The TorchScript exporter is the one that turns packed sequences into `sequence_lens` (and says it is old);
        # its tracer warns about shapes that the parity check then tries out.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper.eval(),
            example_inputs(graph),
            str(path),
            input_names=[tensor.name for tensor in graph.inputs],
            output_names=[tensor.name for tensor in graph.outputs],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=False,  # keeps the weights' own names; onnxruntime folds at load
            dynamo=False,
        )
    model = onnx.load(str(path))
    declare_shapes(model, graph)
    point_to_weights(model, offsets)
    onnx.save(model, str(path))


def declare_shapes(model: onnx.ModelProto, graph: Graph) -> None:
    """Give inputs and outputs the dimensions the manifest lists, in place of what the tracer inferred."""
    listed = {tensor.name: tensor for tensor in [*graph.inputs, *graph.outputs]}
    for value in [*model.graph.input, *model.graph.output]:
        tensor = listed[value.name]
        element = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, element, tensor.shape))


def point_to_weights(model: onnx.ModelProto, offsets: dict[str, tuple[int, int]]) -> None:
    """Replace each weight by a float16 reference into `weights.safetensors`, widened by a Cast.

    The names are those of the network's state_dict. onnxruntime folds the casts when it loads the graph.
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


def write_weights(network: nn.Module, path: Path) -> dict[str, tuple[int, int]]:
    """Write every parameter as float16 and return where each lies: name -> (offset, length) in bytes."""
    named = dict(network.named_parameters())  # tied parameters come once
    save_file({name: p.detach().half().contiguous() for name, p in named.items()}, path)
    path.chmod(0o644)  # safetensors writes files that only their owner may read
    content = path.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_length])
    start = 8 + header_length
    return {
        name: (start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def open_graphs(folder: Path, graphs: list[Graph]) -> dict[str, Callable[[Arrays], Arrays]]:
    """The written graphs, by role, each a function of named arrays."""

    def runner(graph: Graph) -> Callable[[Arrays], Arrays]:
        session = ort.InferenceSession(str(folder / graph.file), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))

    return {graph.role: runner(graph) for graph in graphs}


def require_equal(where: str, expected: Tensor, actual: np.ndarray) -> None:
    """Raise ParityError unless onnxruntime's array is PyTorch's within TOLERANCE."""
    wanted = expected.detach().numpy()
    if wanted.shape != actual.shape:
        raise ParityError(f"{where}: shape {actual.shape}, PyTorch has {wanted.shape}")
    if not np.allclose(actual, wanted, atol=TOLERANCE, rtol=TOLERANCE):
        raise ParityError(f"{where}: differs from PyTorch by up to {np.abs(actual - wanted).max():.2e}")


LENGTHS = [[1], [7], [5, 5, 5], [11, 2, 7, 1, 3], [2, 13], [64, 3]]
"""Batches to compare: alone and together, padded and unpadded, shorter and longer than what was traced."""


def padded_batch(lengths: list[int], vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random ids [B, S] with zeros behind each text's end, and the lengths [B]."""
    ids = torch.randint(4, vocabulary, (len(lengths), max(lengths)), generator=generator)
    lengths_tensor = torch.tensor(lengths)
    return ids.masked_fill(torch.arange(max(lengths))[None, :] >= lengths_tensor[:, None], 0), lengths_tensor


@torch.no_grad()
def check_classifier(network: AttentionClassifier, folder: Path, graphs: list[Graph], max_length: int) -> None:
    """Compare probabilities and attention on every batch of LENGTHS. Raises ParityError."""
    run = open_graphs(folder, graphs)["classify"]
    generator = torch.Generator().manual_seed(0)
    for lengths in [[min(n, max_length) for n in batch] for batch in LENGTHS]:
        ids, lengths_tensor = padded_batch(lengths, network.config.vocabulary, generator)
        logits, weights = network(ids, lengths_tensor)
        outputs = run({"ids": ids.numpy(), "lengths": lengths_tensor.numpy()})
        require_equal(f"probabilities of lengths {lengths}", logits.softmax(-1), outputs["probabilities"])
        if weights is not None:
            real = ids.ne(0)[:, :, None] | torch.tensor(weights.size(1) == 1)  # a padded query's row is never read
            where = f"attention of lengths {lengths}"
            require_equal(where, weights * real, outputs["attention_weights"] * real.numpy())


@torch.no_grad()
def check_transformer(network: Transformer, folder: Path, graphs: list[Graph]) -> None:
    """Compare every output of both graphs, step by step, with the whole target at once. Raises ParityError."""
    run = open_graphs(folder, graphs)
    generator = torch.Generator().manual_seed(0)
    step_graph = next(graph for graph in graphs if graph.role == "step")
    step_inputs = {tensor.name for tensor in step_graph.inputs}
    steps = 5
    for lengths in LENGTHS:
        source_ids, lengths_tensor = padded_batch(lengths, network.config.vocabulary, generator)
        padding = torch.arange(max(lengths))[None, :] >= lengths_tensor[:, None]
        target_ids = torch.randint(4, network.config.vocabulary, (len(lengths), steps), generator=generator)
        encoded = network.encode(source_ids.masked_fill(padding, network.pad_id))
        decoded = network(source_ids.masked_fill(padding, network.pad_id), target_ids)
        log_probs = network.logits(decoded.states).log_softmax(-1)
        outputs = run["encode"]({"source_ids": source_ids.numpy(), "source_lengths": lengths_tensor.numpy()})
        for layer, weights in enumerate(encoded.self_weights):
            # A padded query's row is never read.
            mask = encoded.source_mask[:, None, :, None]
            actual = outputs[f"encoder_self_{layer}"] * mask.numpy()
            require_equal(f"encoder_self_{layer} of lengths {lengths}", weights * mask, actual)
        state = {name: array for name, array in outputs.items() if name in step_inputs}
        config = network.config
        empty = np.zeros((len(lengths), config.heads, 0, config.size // config.heads), np.float32)
        state |= {pair.input: empty for pair in step_graph.state}
        for t in range(steps):
            outputs = run["step"]({"token_ids": target_ids[:, t].numpy(), **state})
            state |= {pair.input: outputs[pair.output] for pair in step_graph.state}
            where = f"at step {t} of lengths {lengths}"
            require_equal(f"log_probs {where}", log_probs[:, t], outputs["log_probs"])
            for layer in range(config.decoder_layers):
                cross = decoded.cross_weights[layer][:, :, t : t + 1]
                own = decoded.self_weights[layer][:, :, t : t + 1, : t + 1]
                require_equal(f"cross_{layer} {where}", cross, outputs[f"cross_{layer}"])
                require_equal(f"decoder_self_{layer} {where}", own, outputs[f"decoder_self_{layer}"])


def max_target_tokens(max_source_tokens: int) -> int:
    """The longest translation of the longest sentence: the service stops at twice the source and ten more."""
    return 2 * max_source_tokens + 10


@torch.no_grad()
def golden_classification(task: ClassificationTask, text: str) -> dict[str, Any]:
    """PyTorch's own answer to a text, in the form the service must give it."""
    ids = torch.tensor([task.tokenizer.encode(text).ids])
    logits, weights = task.network(ids, torch.tensor([ids.size(1)]))
    scores = dict(zip(task.labels, logits.softmax(-1)[0].tolist(), strict=True))
    return {"scores": scores, "attention": None if weights is None else weights[0].tolist()}


@torch.no_grad()
def golden_translation(task: TranslationTask, text: str, summary_layer: int, never: list[int]) -> dict[str, Any]:
    """PyTorch's own greedy translation: the whole prefix anew at each step, no cache, no batch."""
    source = torch.tensor([[*task.tokenizer.encode(text, add_special_tokens=False).ids, task.eos_id]])
    max_length = max_target_tokens(source.size(1))
    target, total = [task.bos_id], 0.0
    while True:
        decoded = task.network(source, torch.tensor([target]))
        log_probs = task.network.logits(decoded.states[0, -1]).log_softmax(-1)
        log_probs[never] = -torch.inf
        token = int(log_probs.argmax()) if len(target) <= max_length else task.eos_id
        total += float(log_probs[token])
        if token == task.eos_id:
            break
        target.append(token)
    weights = decoded.cross_weights[summary_layer][0].mean(0)[: len(target) - 1]
    translation = task.tokenizer.decode(target[1:])
    return {"translation": translation, "score": total / len(target), "attention": weights.tolist()}


def export(recipe: AnyRecipe, models: Path) -> Path:
    """Write models/<name>/<version>/ from the run's best weights, replacing an older export of that version.

    Raises RunError if there is no run, and ParityError if the graphs are not the network: then nothing is written.
    """
    task = load_best(recipe)
    round_to_float16(task.network)
    folder = models / recipe.name / str(recipe.version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".export-"))
    try:
        manifest = stage(recipe, task, staged)
        write_bundle(folder, staged, manifest)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return folder


def stage(recipe: AnyRecipe, task: ClassificationTask | TranslationTask, staged: Path) -> Manifest:
    """Write all the files of a bundle but its manifest into `staged`, check them, and return the manifest."""
    offsets = write_weights(task.network, staged / WEIGHTS)
    ids: dict[str, int] = {name: special_id(task.tokenizer, name) for name in (PAD, UNK, BOS, EOS)}
    fields: dict[str, Any]
    if isinstance(task, ClassificationTask):
        graphs, attention = classifier_graphs(task.recipe, len(task.labels))
        write_graph(ClassifyGraph(task.network), graphs[0], staged, offsets)
        check_classifier(task.network, staged, graphs, recipe.limits.max_tokens)
        task.tokenizer.save(str(staged / "tokenizer.json"), pretty=False)
        answers = [golden_classification(task, text) for text in recipe.examples]
        options = task.recipe.network
        fields = {
            "labels": task.labels,
            "tokenizers": {"text": "tokenizer.json"},
            "limits": Limits(max_tokens=recipe.limits.max_tokens),
            "architecture": Architecture(
                network="classifier",
                cell=options.cell,
                bidirectional=options.bidirectional,
                attention=None if options.attention == "none" else options.attention,
                parameters=sum(p.numel() for p in task.network.parameters()),
            ),
        }
    else:
        layer = task.recipe.summary_layer
        graphs, attention = transformer_graphs(task.network, layer)
        write_graph(EncodeGraph(task.network), graphs[0], staged, offsets)
        write_graph(StepGraph(task.network), graphs[1], staged, offsets)
        check_transformer(task.network, staged, graphs)
        save_source_tokenizer(task.tokenizer, staged / "tokenizer.json")
        never = [ids[PAD], ids[UNK], ids[BOS]]
        answers = [golden_translation(task, text, layer, never) for text in recipe.examples]
        fields = {
            "source": task.recipe.data.source,
            "target": task.recipe.data.target,
            "tokenizers": {"source": "tokenizer.json", "target": "tokenizer.json"},
            "special_ids": SpecialIds(bos=ids[BOS], eos=ids[EOS], never=never),
            "limits": Limits(
                max_tokens=recipe.limits.max_tokens,
                max_target_tokens=max_target_tokens(recipe.limits.max_tokens),
                max_beam_size=MAX_BEAM_SIZE,
            ),
            "architecture": Architecture(
                network="transformer",
                cell=None,
                bidirectional=True,
                attention="multi_head",
                parameters=sum(p.numel() for p in task.network.parameters()),
            ),
        }
    cases = [{"text": text, "answer": answer} for text, answer in zip(recipe.examples, answers, strict=True)]
    golden = {"tolerance": 1e-3, "cases": cases}
    (staged / GOLDEN).write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    saved = json.loads((run_folder(recipe) / "task.json").read_text())
    names = [*(graph.file for graph in graphs), WEIGHTS, "tokenizer.json", GOLDEN]
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=recipe.name,
        version=recipe.version,
        task=recipe.task,
        description=recipe.description,
        graphs=graphs,
        weights="float16",
        attention=attention,
        training=Training(
            recipe=recipe.model_dump(mode="json"),
            recipe_sha256=recipe_hash(recipe),
            seed=recipe.seed,
            minutes=saved["minutes"],
            hardware=saved["hardware"],
        ),
        data=[data_source(corpus) for corpus in recipe.data.corpora],
        opset=OPSET,
        files={name: sha256_of(staged / name) for name in names},
        **fields,
    )
    (staged / CARD).write_text(model_card(manifest), encoding="utf-8")
    return manifest


def data_source(corpus: str) -> DataSource:
    if corpus in CORPORA:
        return DataSource(name=corpus, origin=CORPORA[corpus].origin, licence=CORPORA[corpus].licence)
    return DataSource(name=Path(corpus).name, origin="the user's own file", licence="not stated")


def save_source_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """The tokenizer with </s> put behind every source text, as in training."""
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    tokenizer.save(str(path), pretty=False)
