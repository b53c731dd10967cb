"""The bundle: the contract between `training/`, which writes it, and `service/`, which reads it.

    models/<name>/<version>/
      bundle.json            the manifest below
      *.onnx                 the graphs, without their weights
      weights.safetensors    every weight once, shared by the graphs, under the network's own names
      tokenizer.json         text -> ids
      golden.json            inputs and the answers they must give before the bundle is called ready
      README.md              the model card

Nothing here is executable. `docs/bundle.md` says what stays readable across versions.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.bundle.external_data import locations
from service.errors import BundleCorrupt, BundleNotFound, BundleVersionUnsupported

FORMAT_VERSION = 2
MANIFEST = "bundle.json"
GOLDEN = "golden.json"
CARD = "README.md"
WEIGHTS = "weights.safetensors"

AttentionKind = Literal["pooling", "self", "cross", "encoder_self", "decoder_self"]
GraphRole = Literal["classify", "encode", "step"]
Precision = Literal["float32", "float16", "int8"]
Task = Literal["classification", "translation", "generation"]


STEP_INPUTS = ("token_ids", "parents", "candidates")
"""What every step reads beside its states and the source; `lengths` it may."""
STEP_OUTPUTS = ("top_log_probs", "top_ids", "end_log_probs")
"""What every step says: the likeliest tokens, [rows, candidates] both, and [rows, 1] of </s>."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorInfo(_Section):
    """One input or output of a graph. A dimension is a number or a symbol (`batch`, `source_length`, ...)."""

    name: str
    dtype: Literal["float32", "float16", "int64", "bool"]
    shape: list[int | str]


class StatePair(_Section):
    """What one step hands to the next: the step's output of this name becomes the next step's input of that name."""

    output: str
    input: str


class Graph(_Section):
    """One ONNX file.

    `step` works on rows, of which each sentence has equally many, side by side: the hypotheses that go on. It reads
    `token_ids` [rows], the last token of each; `parents` [rows], the row of the step before that each goes on from;
    `lengths` [rows], how many tokens were said before, if it wants to know; `candidates` [1], how many are wanted;
    outputs of `encode` of the same name, one entry a sentence; and the inputs of its state pairs, one entry a row of
    the step before. A state starts as the output of `encode` of that name, if there is one, and else as zeros, with
    zero length along every symbolic dimension but the first. Where states have such a length, they end together: a
    row's own are the last `lengths`.
    """

    role: GraphRole
    file: str
    precision: Precision
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    state: list[StatePair] = []


class AttentionOutput(_Section):
    """Where one kind and layer of attention comes from. The output has the shape [batch, (heads,) queries, keys]."""

    kind: AttentionKind
    layer: int | None
    heads: int | None
    graph: GraphRole
    output: str
    summary: bool = False
    """The one that `summary` shows, averaged over its heads."""


class Architecture(_Section):
    """For people. Never branched on."""

    network: Literal["classifier", "seq2seq", "transformer", "recurrent", "decoder"]
    cell: Literal["rnn", "lstm", "gru"] | None
    bidirectional: bool
    attention: Literal["dot", "scaled_dot", "general", "additive", "location", "local", "multi_head"] | None
    parameters: int


class SpecialIds(_Section):
    """Ids that decoding needs to know."""

    bos: int
    eos: int
    never: list[int]
    """Ids that are never said: <pad>, <s>, and <unk> unless it is `unknown`."""
    unknown: int | None = None
    """The id a translation says where a symbol of the source that no tokenizer knows is to be copied; null where the
    network was not taught to."""


class Limits(_Section):
    max_tokens: int = Field(gt=0)
    """Tokens of one text, sentence or prompt, special ones included."""
    max_target_tokens: int | None = None
    """Of what is written: a sentence's translation, or a prompt's continuation."""
    max_beam_size: int | None = None


class Metric(_Section):
    name: str
    value: float
    data: str
    """Corpus and split, such as `multi30k test`."""
    detail: str = ""
    """How it was measured: a signature, a decoding method."""


class DataSource(_Section):
    name: str
    origin: str
    licence: str


class Training(_Section):
    recipe: dict[str, object]
    recipe_sha256: str
    seed: int
    minutes: float
    hardware: str


class Manifest(_Section):
    """`bundle.json`."""

    format_version: int
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(gt=0)
    task: Task
    description: str
    architecture: Architecture
    graphs: list[Graph]
    weights: Literal["float32", "float16"]
    """How the weights are stored. float16 is widened to float32 when the graphs are loaded."""
    tokenizers: dict[Literal["text", "source", "target"], str]
    labels: list[str] | None = None
    source: str | None = None
    target: str | None = None
    special_ids: SpecialIds | None = None
    limits: Limits
    attention: list[AttentionOutput]
    metrics: list[Metric] = []
    training: Training
    data: list[DataSource]
    opset: int
    files: dict[str, str]
    """Name -> sha256 of every file the service reads."""
    sha256: str | None = None
    """Of the manifest's own content but this field: a language code that lost a bit is refused too. Checked where it
    is there; older bundles lack it."""

    @model_validator(mode="after")
    def complete(self) -> "Manifest":
        """Everything the task needs is there. All that is missing is named at once."""
        kinds = [(graph.role, graph.precision) for graph in self.graphs]
        roles = {role for role, _ in kinds}
        wanted: dict[str, bool] = {
            **{f"one float32 graph to {role}": kinds.count((role, "float32")) == 1 for role in roles},
            "one graph of each role and precision": len(kinds) == len(set(kinds)),
            "exactly one summary attention": not self.attention or sum(a.summary for a in self.attention) == 1,
            **{f"a sha256 of {g.file}": g.file in self.files for g in self.graphs},
            **{f"a sha256 of {file}": file in self.files for file in (*self.tokenizers.values(), GOLDEN)},
        }
        step = {
            **{f"the step's input {name}": name in self.inputs("step") for name in STEP_INPUTS},
            **{f"the step's output {name}": name in self.outputs("step") for name in STEP_OUTPUTS},
            "special_ids": self.special_ids is not None,
            "a limit of target tokens": bool(self.limits.max_target_tokens),
        }
        if self.task == "classification":
            wanted |= {
                "a classify graph": roles == {"classify"},
                "two labels or more": len(self.labels or []) >= 2,
                "a text tokenizer": set(self.tokenizers) == {"text"},
            }
        elif self.task == "translation":
            wanted |= step | {
                "an encode and a step graph": roles == {"encode", "step"},
                "source and target languages": bool(self.source and self.target),
                "source and target tokenizers": set(self.tokenizers) == {"source", "target"},
                "a limit of the beam size": bool(self.limits.max_beam_size),
            }
        else:
            wanted |= step | {
                "a step graph": roles == {"step"},
                "a text tokenizer": set(self.tokenizers) == {"text"},
            }
        names_outside = [n for n in self.files if n != os.path.basename(n) or n in ("", ".", "..") or "\0" in n]
        wanted |= {f"a plain file name instead of {name!r}": False for name in names_outside}
        if missing := [need for need, there in wanted.items() if not there]:
            raise ValueError("the manifest lacks " + ", ".join(missing))
        return self

    def inputs(self, role: GraphRole) -> set[str]:
        """The names of a graph's inputs; none, if there is no such graph."""
        return {tensor.name for graph in self.graphs if graph.role == role for tensor in graph.inputs}

    def outputs(self, role: GraphRole) -> set[str]:
        """The names of a graph's outputs; none, if there is no such graph."""
        return {tensor.name for graph in self.graphs if graph.role == role for tensor in graph.outputs}

    def graph(self, role: GraphRole, precision: Precision = "float32") -> Graph:
        """The graph of a role in that precision, or else in float32, in which it always is."""
        found = {graph.precision: graph for graph in self.graphs if graph.role == role}
        return found.get(precision, found["float32"])


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: dict[str, Any]) -> str:
    """The sha256 of a manifest's content, whatever its white space and the order of its keys."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> None:
    content = json.loads(manifest.model_dump_json())
    text = json.dumps({**content, "sha256": digest(content)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check `bundle.json`. Raises BundleNotFound, BundleVersionUnsupported or BundleCorrupt."""
    path = folder / MANIFEST
    if not path.exists():
        raise BundleNotFound(f"{folder} holds no {MANIFEST}")
    if not path.is_file():  # a pipe or a device would be waited for
        raise BundleCorrupt(f"{path} cannot be read: it is no file")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path} cannot be read: {error}") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleVersionUnsupported(f"{path} has format {version}; this service reads up to {FORMAT_VERSION}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors())
        raise BundleCorrupt(f"{path}: {details}") from None
    if manifest.sha256 not in (None, digest(content)):
        raise BundleCorrupt(f"{path} is not what its own sha256 says")
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its checksum, and see that no graph takes weights from any other file.

    Raises BundleCorrupt with all problems in one message.
    """
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            if path.exists() and not path.is_file():  # a pipe or a device would be waited for
                problems.append(f"{name} is no file")
                continue
            actual = sha256_of(path)
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
            continue
        if actual != expected:
            problems.append(f"{name} has sha256 {actual[:12]}..., the manifest says {expected[:12]}...")
    if not problems:
        for graph in manifest.graphs:
            problems += _unlisted(folder / graph.file, manifest)
    if problems:
        raise BundleCorrupt(f"{folder}: " + "; ".join(problems))


def _unlisted(path: Path, manifest: Manifest) -> list[str]:
    """What is wrong with where a graph takes its weights from."""
    try:
        named = locations(path.read_bytes())
    except ValueError as error:
        return [f"{path.name} is no ONNX graph: {error}"]
    # Listed names are plain, so this refuses every path that leads out of the bundle, too.
    return [
        f"{path.name} takes weights from {n!r}, which the manifest does not list" for n in named - set(manifest.files)
    ]


def write_bundle(folder: Path, staged: Path, manifest: Manifest) -> None:
    """Move the files of `staged`, with their manifest, to `folder` in one step, replacing what is there.

    `staged` must lie on the same file system. A reader sees the old bundle or the new one, never a half.
    """
    write_manifest(staged / MANIFEST, manifest)
    staged.chmod(0o755)
    folder.parent.mkdir(parents=True, exist_ok=True)
    retired = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".retired-"))
    if folder.exists():
        folder.rename(retired / "old")
    staged.rename(folder)
    shutil.rmtree(retired)


def update_manifest(folder: Path, **changes: object) -> Manifest:
    """Replace fields of a written manifest, such as `metrics`, in one step."""
    manifest = Manifest.model_validate({**read_manifest(folder).model_dump(), **changes})
    temporary = folder / f".{MANIFEST}"
    write_manifest(temporary, manifest)
    temporary.replace(folder / MANIFEST)
    return manifest


def find_bundles(models: Path) -> dict[str, dict[int, Path]]:
    """Name -> version -> folder of everything under `models/` that looks like a bundle."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(models.glob(f"*/*/{MANIFEST}")):
        name, version = path.parent.parent.name, path.parent.name
        if version.isdecimal():
            found.setdefault(name, {})[int(version)] = path.parent
    return found
