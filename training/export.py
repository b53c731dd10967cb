"""Network -> ONNX graphs -> bundle, read back and compared with PyTorch before anything is written.

Weights go once into `weights.safetensors`, as float16, and every graph points into that file: nothing is
stored twice, and anyone can read the weights back by name.
"""

import json
import shutil
import tempfile
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from service.bundle.manifest import (
    CARD,
    FORMAT_VERSION,
    GOLDEN,
    WEIGHTS,
    DataSource,
    Graph,
    Limits,
    Manifest,
    SpecialIds,
    Training,
    sha256_of,
    write_bundle,
)
from training.card import model_card
from training.corpora import BOOKS, CORPORA
from training.fit import load_best, run_folder, training_minutes
from training.graphs import Description, classifier, language, seq2seq, transformer
from training.graphs.int8 import Arrays, Ranges, in_int8, observed
from training.graphs.parity import decode_in_steps, open_graphs
from training.networks.seq2seq import Seq2Seq
from training.recipe import AnyRecipe, recipe_hash
from training.tasks import AnyTask, ClassificationTask, GenerationTask, TranslationTask
from training.tokenization import BOS, EOS, PAD, UNK, special_id

OPSET = 20
"""What is traced to: the last that the exporter knows."""
ATTENTION_OPSET = 23
"""The first with attention as one operator; nothing that the graphs use changed its meaning between the two."""
MAX_BEAM_SIZE = 16
MAX_WRITTEN = 4096
"""Tokens that a language model writes on at most."""


def round_to_float16(network: nn.Module) -> None:
    """Round every weight to what float16 can hold, so that what is stored is exactly what was compared."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())


EXAMPLE = {"sentences": 2, "rows": 4, "before": 3, "batch": 2}
"""Sizes of the dimensions to trace a graph with; any other is 3."""


def example_inputs(graph: Graph) -> tuple[Tensor, ...]:
    """Inputs of the right shapes to trace a graph with."""
    dtypes = {"int64": torch.int64, "bool": torch.bool, "float32": torch.float32}
    counts = ("lengths", "candidates")  # these are no ids, and have to be in bounds
    found = []
    for tensor in graph.inputs:
        shape = [EXAMPLE.get(d, 3) if isinstance(d, str) else d for d in tensor.shape]
        example = torch.full(shape, 3) if tensor.name.endswith(counts) else torch.ones(shape)
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
            custom_opsets={"limelight": 1},
            do_constant_folding=False,  # keeps the weights' own names; onnxruntime folds at load
            dynamo=False,
        )
    model = onnx.load(str(path))
    declare_shapes(model, graph)
    name_attention(model)
    drop_unread(model)
    point_to_weights(model, offsets)
    onnx.save(model, str(path))


CALIBRATION_PAIRS = 1024
"""Sentences that show what the products of a translator read."""


def write_int8(graphs: list[Graph], folder: Path, pairs: list[tuple[list[int], list[int]]]) -> list[Graph]:
    """Write the int8 variants of a translator's `encode` and `step` graphs beside them, rounded for what these read in
    sentences: source ids with </s>, target ids from <s> on."""
    run: dict[str, Callable[[Arrays], Arrays]] = {}
    ranges: dict[str, Ranges] = {}
    for graph in graphs:
        run[graph.role], ranges[graph.role] = observed(folder / graph.file)
    for source_ids, target_ids in pairs:
        encoded = run["encode"]({"source_ids": np.array([source_ids]), "source_lengths": np.array([len(source_ids)])})
        deque(decode_in_steps(run, graphs[1], encoded, np.array([target_ids])), maxlen=0)
    variants = []
    for graph in graphs:
        variant = graph.model_copy(update={"precision": "int8", "file": graph.file.replace(".onnx", ".int8.onnx")})
        model = onnx.load(str(folder / graph.file), load_external_data=False)
        onnx.save(in_int8(model, ranges[graph.role]), str(folder / variant.file))
        variants.append(variant)
    return variants


def name_attention(model: onnx.ModelProto) -> None:
    """Give the operator that the tracer does not know (`networks.attention.OnnxAttention`) its place in ONNX."""
    for node in model.graph.node:
        if node.domain == "limelight":
            node.domain = ""
    model.ClearField("opset_import")
    model.opset_import.append(helper.make_opsetid("", ATTENTION_OPSET))
    model.ir_version = 11


def drop_unread(model: onnx.ModelProto) -> None:
    """Attention need not copy keys and values that nothing reads."""
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "Attention":
            node.output[:] = [name if name in read else "" for name in node.output]


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


@dataclass
class Greedy:
    """PyTorch's own greedy translation: the whole prefix anew at each step, no cache, no batch."""

    source_ids: list[int]
    target_ids: list[int]
    """From <s> to </s>."""
    score: float
    weights: Tensor | None
    """[T, S]: its alignment."""


@torch.no_grad()
def greedy(task: TranslationTask, text: str, never: list[int]) -> Greedy:
    source_ids = [*task.tokenizer.encode(text, add_special_tokens=False).ids, task.eos_id]
    max_length = max_target_tokens(len(source_ids))
    target, total = [task.bos_id], 0.0
    while target[-1] != task.eos_id:
        decoded = task.network(torch.tensor([source_ids]), torch.tensor([target]))
        log_probs = task.network.logits(decoded.states[0, -1]).log_softmax(-1)
        log_probs[never] = -torch.inf
        token = int(log_probs.argmax()) if len(target) <= max_length else task.eos_id
        total += float(log_probs[token])
        target.append(token)
    weights = decoded.alignment(task.recipe.summary_layer)
    alignment = None if weights is None else weights[0, : len(target) - 2]
    return Greedy(source_ids, target, total / (len(target) - 1), alignment)


def golden_translation(task: TranslationTask, found: Greedy) -> dict[str, Any]:
    """PyTorch's translation in the form the service must give it."""
    attention = None if found.weights is None else found.weights.tolist()
    return {"translation": task.tokenizer.decode(found.target_ids), "score": found.score, "attention": attention}


GOLDEN_TOKENS = 30
"""How far a golden prompt is written on."""


@torch.no_grad()
def golden_generation(task: GenerationTask, prompt: str, never: list[int]) -> dict[str, Any]:
    """PyTorch's own greedy continuation of a prompt, the whole text read anew at each step, in the form the service
    must give it."""
    ids = task.tokenizer.encode(prompt).ids
    written: list[int] = []
    total = 0.0
    while len(written) < GOLDEN_TOKENS:
        read = task.network(torch.tensor([[*ids, *written]]), task.network.first_memory(1))
        log_probs = task.network.logits(read.states[0, -1]).log_softmax(-1)
        log_probs[never] = -torch.inf
        token = int(log_probs.argmax())
        if token == task.eos_id:
            break
        total += float(log_probs[token])
        written.append(token)
    shown = next((w for n, w in enumerate(read.weights) if n == task.recipe.summary_layer), None)
    if shown is not None:  # the rows that chose a token, averaged over heads where there are some
        shown = (shown[0] if shown.dim() == 3 else shown[0].mean(0))[len(ids) - 1 :]
    return {
        "text": task.tokenizer.decode(written),
        "log_prob": total,
        "attention": None if shown is None else shown.tolist(),
    }


def calibration_pairs(task: TranslationTask) -> list[tuple[list[int], list[int]]]:
    """Pairs of the validation split, from all over it."""
    task.load("valid")
    examples = task.examples["valid"]
    return [
        (source, [task.bos_id, *target]) for source, target in examples[:: max(1, len(examples) // CALIBRATION_PAIRS)]
    ]


INT8_TOLERANCE = 0.05
"""How far a golden answer in int8 may be from PyTorch's."""


def answers_in_int8(folder: Path, described: Description, graphs: list[Graph], found: Greedy, never: list[int]) -> bool:
    """Whether the int8 graphs say token by token what PyTorch says, about as surely and looking at the same."""
    run = open_graphs(folder, graphs, "int8")
    source, target = np.array([found.source_ids]), np.array([found.target_ids])
    encoded = run["encode"]({"source_ids": source, "source_lengths": np.array([source.size])})
    steps = list(decode_in_steps(run, described.graphs[1], encoded, target[:, :-1], len(never) + 1))
    total = 0.0
    for answer, token in zip(steps, found.target_ids[1:], strict=True):
        ids, log_probs = answer["top_ids"][0].tolist(), answer["top_log_probs"][0].tolist()
        best, log_prob = next((i, p) for i, p in zip(ids, log_probs, strict=True) if i not in never)
        if best != token:
            return False
        total += log_prob
    differences = [abs(total / len(steps) - found.score)]
    summary = next((output for output in described.attention if output.summary), None)
    if summary is not None and found.weights is not None and len(steps) > 1:
        rows = [answer[summary.output][0].reshape(-1, source.size).mean(0) for answer in steps[:-1]]
        differences.append(float(np.abs(np.stack(rows) - found.weights.numpy()).max()))
    return max(differences) < INT8_TOLERANCE


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


def describe(task: AnyTask) -> Description:
    if isinstance(task, ClassificationTask):
        return classifier.describe(task.network)
    if isinstance(task, GenerationTask):
        return language.describe(task.network, task.eos_id, task.recipe.summary_layer)
    if isinstance(task.network, Seq2Seq):
        return seq2seq.describe(task.network, task.eos_id)
    longest = max_target_tokens(task.recipe.limits.max_tokens)
    return transformer.describe(task.network, task.eos_id, task.recipe.summary_layer, longest)


def stage(recipe: AnyRecipe, task: AnyTask, staged: Path) -> Manifest:
    """Write all the files of a bundle but its manifest into `staged`, check them, and return the manifest."""
    described = describe(task)
    offsets = write_weights(task.network, staged / WEIGHTS)
    graphs = list(described.graphs)
    for graph, wrapper in zip(described.graphs, described.wrappers, strict=True):
        write_graph(wrapper, graph, staged, offsets)
    described.check(staged)
    fields: dict[str, Any]
    ids: dict[str, int]
    if isinstance(task, ClassificationTask):
        task.tokenizer.save(str(staged / "tokenizer.json"), pretty=False)
        answers = [golden_classification(task, text) for text in recipe.examples]
        fields = {
            "labels": task.labels,
            "tokenizers": {"text": "tokenizer.json"},
            "limits": Limits(max_tokens=recipe.limits.max_tokens),
        }
    elif isinstance(task, GenerationTask):
        task.tokenizer.save(str(staged / "tokenizer.json"), pretty=False)
        ids = {name: special_id(task.tokenizer, name) for name in (PAD, UNK, BOS, EOS)}
        never = [ids[PAD], ids[UNK], ids[BOS]]
        answers = [golden_generation(task, prompt, never) for prompt in recipe.examples]
        fields = {
            "tokenizers": {"text": "tokenizer.json"},
            "special_ids": SpecialIds(bos=ids[BOS], eos=ids[EOS], never=never),
            "limits": Limits(max_tokens=recipe.limits.max_tokens, max_target_tokens=MAX_WRITTEN),
        }
    else:
        save_source_tokenizer(task.tokenizer, staged / "tokenizer.json")
        ids = {name: special_id(task.tokenizer, name) for name in (PAD, UNK, BOS, EOS)}
        copies = task.recipe.data.hidden > 0 and any(output.summary for output in described.attention)
        never = [ids[PAD], ids[BOS], *([] if copies else [ids[UNK]])]
        # PyTorch's own answers copy nothing.
        found = [greedy(task, text, [*never, ids[UNK]]) for text in recipe.examples]
        answers = [golden_translation(task, translation) for translation in found]
        variants = write_int8(described.graphs, staged, calibration_pairs(task))
        if all(answers_in_int8(staged, described, variants, one, [*never, ids[UNK]]) for one in found):
            graphs += variants
        else:
            print(f"{recipe.name}: in int8 it answers its own examples differently, so it is float32 only")
            for variant in variants:
                (staged / variant.file).unlink()
        fields = {
            "source": task.recipe.data.source,
            "target": task.recipe.data.target,
            "tokenizers": {"source": "tokenizer.json", "target": "tokenizer.json"},
            "special_ids": SpecialIds(bos=ids[BOS], eos=ids[EOS], never=never, unknown=ids[UNK] if copies else None),
            "limits": Limits(
                max_tokens=recipe.limits.max_tokens,
                max_target_tokens=max_target_tokens(recipe.limits.max_tokens),
                max_beam_size=MAX_BEAM_SIZE,
            ),
        }
    asked = {"max_tokens": GOLDEN_TOKENS} if isinstance(task, GenerationTask) else {}
    cases = [{"text": text, **asked, "answer": one} for text, one in zip(recipe.examples, answers, strict=True)]
    golden = {"tolerance": 1e-3, "tolerances": {"int8": INT8_TOLERANCE}, "cases": cases}
    (staged / GOLDEN).write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    saved = json.loads((run_folder(recipe) / "task.json").read_text())
    names = [*(graph.file for graph in graphs), WEIGHTS, "tokenizer.json", GOLDEN]
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=recipe.name,
        version=recipe.version,
        task=recipe.task,
        description=recipe.description,
        architecture=described.architecture,
        graphs=graphs,
        weights="float16",
        attention=described.attention,
        training=Training(
            recipe=recipe.model_dump(mode="json"),
            recipe_sha256=recipe_hash(recipe),
            seed=recipe.seed,
            minutes=training_minutes(recipe),
            hardware=saved["hardware"],
        ),
        data=[data_source(corpus) for corpus in dict.fromkeys(recipe.data.corpora)],
        opset=ATTENTION_OPSET,
        files={name: sha256_of(staged / name) for name in names},
        **fields,
    )
    (staged / CARD).write_text(model_card(manifest), encoding="utf-8")
    return manifest


def data_source(corpus: str) -> DataSource:
    if (known := CORPORA.get(corpus) or BOOKS.get(corpus)) is not None:
        return DataSource(name=corpus, origin=known.origin, licence=known.licence)
    return DataSource(name=Path(corpus).name, origin="the user's own file", licence="not stated")


def save_source_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """The tokenizer with </s> put behind every source text, as in training."""
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    tokenizer.save(str(path), pretty=False)
