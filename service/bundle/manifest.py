"""The schema of `bundle.json`, the contract between `training/` (writer) and `service/` (reader).

    models/<name>/<version>/
      bundle.json            the manifest below
      *.onnx                 the graphs, without weights
      weights.safetensors    every weight once, under the network's own names; all graphs share it
      tokenizer.json         text -> ids
      golden.json            inputs with their expected answers (`bundle/golden.py`)
      README.md              the model card

The manifest is a union by `task`: `ClassificationManifest`, `TranslationManifest` or `GenerationManifest`. A bundle
holds nothing executable. `docs/bundle.md` lists the parts that stay readable across versions.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from service.bundle.conventions import STEP_INPUTS, STEP_OUTPUTS

FORMAT_VERSION = 2
MANIFEST = "bundle.json"
GOLDEN = "golden.json"
CARD = "README.md"
WEIGHTS = "weights.safetensors"

AttentionKind = Literal["pooling", "contribution", "self", "cross", "encoder_self", "decoder_self"]
ONE_QUERY: tuple[AttentionKind, ...] = ("pooling", "contribution")
"""Kinds with one query for the whole text."""
GraphRole = Literal["classify", "encode", "step"]
Precision = Literal["float32", "float16", "int8"]
Task = Literal["classification", "translation", "generation"]


class Section(BaseModel):
    """A JSON object of a bundle. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _SectionByTask(Section):
    """A section whose fields depend on the task."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, content: Any) -> Any:
        """Drop null fields of other tasks. Bundles written before the manifest was a union contain them."""
        if not isinstance(content, dict):
            return content
        return {key: value for key, value in content.items() if value is not None or key in cls.model_fields}


class TensorInfo(Section):
    """One input or output of a graph. A dimension is a number or a symbol (`batch`, `source_length`, ...)."""

    name: str
    dtype: Literal["float32", "float16", "int64", "bool"]
    shape: list[int | str]


class StatePair(Section):
    """A state of the decoder: this output of one step is this input of the next step."""

    output: str
    input: str


class Graph(Section):
    """One ONNX file.

    A `step` graph runs one decoding step on a batch of rows. A row is one hypothesis. Every sentence of the batch has
    the same number of rows, and the rows of a sentence are adjacent. Inputs of a step:

    - `token_ids` [rows]: the last token of each row.
    - `parents` [rows]: the row of the previous step that each row continues.
    - `lengths` [rows], optional: the number of tokens generated before this step.
    - `candidates` [1]: the number of next tokens to return.
    - outputs of `encode` with the same name: one entry per sentence.
    - inputs of its state pairs: one entry per row of the previous step.

    A state starts as the output of `encode` with its name. If there is none, it starts as zeros, and every symbolic
    dimension but the first has length zero. States with such a dimension are right-aligned: the last `lengths`
    positions belong to the row.

    A `step` graph may know fewer output tokens than the target tokenizer. It then returns at most as many candidates.
    """

    role: GraphRole
    file: str
    precision: Precision
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    state: list[StatePair] = []


class AttentionOutput(Section):
    """The graph output with one kind and layer of attention. Its shape is [batch, (heads,) queries, keys]."""

    kind: AttentionKind
    layer: int | None
    heads: int | None
    graph: GraphRole
    output: str
    summary: bool = False
    """True for the output that `summary` returns, averaged over its heads."""


class Architecture(Section):
    """A description for readers. The service never branches on it, and any name is valid."""

    network: str
    cell: str | None
    bidirectional: bool
    attention: str | None
    parameters: int


class SpecialIds(Section):
    """Token ids that decoding uses."""

    bos: int
    eos: int
    never: list[int]
    """Ids that are never generated: <pad>, <s>, and <unk> unless it is `unknown`."""
    unknown: int | None = None
    """The id of <unk>, if the network generates it to copy an unknown symbol of the source. Null otherwise."""


class WordCalibration(Section):
    """Logistic function of the log-odds of a word: the probability that the word is right."""

    slope: float = Field(gt=0)
    intercept: float


class Limits(_SectionByTask):
    """Limits of a classifier, and the base of the limits of other tasks."""

    max_tokens: int = Field(gt=0)
    """Maximum tokens of one text, sentence or prompt, special tokens included."""


class GenerationLimits(Limits):
    """Limits of a language model."""

    max_target_tokens: int = Field(gt=0)
    """Maximum tokens of a sentence's translation or of a prompt's continuation."""


class TranslationLimits(GenerationLimits):
    """Limits of a translator."""

    max_beam_size: int = Field(gt=0)


class Metric(Section):
    """One measured value."""

    name: str
    value: float
    data: str
    """Corpus and split, such as `multi30k test`."""
    detail: str = ""
    """Method of the measurement, such as a signature or the decoding parameters."""


class DataSource(Section):
    """A corpus of the training data."""

    name: str
    origin: str
    licence: str


class Training(Section):
    """The training run."""

    recipe: dict[str, object]
    recipe_sha256: str
    seed: int
    minutes: float
    hardware: str
    run: str | None = None
    """Identity of the run: a hash of its recipe, data, columns and code. Older bundles lack it."""


class Manifest(_SectionByTask):
    """The fields of `bundle.json` that all tasks share."""

    roles: ClassVar[frozenset[str]]
    """Roles of the graphs. Each has a float32 graph."""
    tokenizer_roles: ClassVar[frozenset[str]] = frozenset({"text"})
    """Keys of `tokenizers`; exactly these."""

    format_version: int
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: int = Field(gt=0)
    task: Task
    description: str
    default: bool = False
    """True if requests that name no model of this task (translators: of this language pair) are for this model."""
    architecture: Architecture
    graphs: list[Graph]
    weights: Literal["float32", "float16"]
    """Precision of the stored weights. float16 is converted to float32 when a graph is loaded."""
    tokenizers: dict[Literal["text", "source", "target"], str]
    limits: Limits
    attention: list[AttentionOutput]
    metrics: list[Metric] = []
    training: Training
    data: list[DataSource]
    opset: int
    files: dict[str, str]
    """Name -> sha256 of every file that the service reads."""
    sha256: str | None = None
    """sha256 of the manifest without this field (`bundle.files.digest`). Older bundles lack it."""

    @field_validator("graphs")
    @classmethod
    def _check_graphs(cls, graphs: list[Graph]) -> list[Graph]:
        variants = [(graph.role, graph.precision) for graph in graphs]
        roles = {role for role, _ in variants}
        needs = {
            f"graphs of exactly these roles: {', '.join(sorted(cls.roles))}": cls.roles == roles,
            "one graph of each role and precision": len(variants) == len(set(variants)),
            **{f"one float32 graph with the role {role}": (role, "float32") in variants for role in cls.roles},
        }
        for graph in graphs:
            if graph.role == "step":
                inputs, outputs = _names(graph.inputs), _names(graph.outputs)
                needs |= {f"the input {name} of {graph.file}": name in inputs for name in STEP_INPUTS}
                needs |= {f"the output {name} of {graph.file}": name in outputs for name in STEP_OUTPUTS}
        _require(needs)
        return graphs

    @field_validator("tokenizers")
    @classmethod
    def _check_tokenizers(cls, tokenizers: dict[str, str]) -> dict[str, str]:
        expected = ", ".join(sorted(cls.tokenizer_roles))
        _require({f"tokenizers with exactly these keys: {expected}": tokenizers.keys() == cls.tokenizer_roles})
        return tokenizers

    @field_validator("attention")
    @classmethod
    def _check_attention(cls, attention: list[AttentionOutput]) -> list[AttentionOutput]:
        _require({"exactly one summary attention": not attention or sum(a.summary for a in attention) == 1})
        return attention

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: dict[str, str], earlier: ValidationInfo) -> dict[str, str]:
        """Every file that the service reads has a sha256, and every name is a plain file name."""
        graphs: list[Graph] = earlier.data.get("graphs", [])
        tokenizers: dict[str, str] = earlier.data.get("tokenizers", {})
        read = [*(graph.file for graph in graphs), *tokenizers.values(), GOLDEN]
        needs = {f"a sha256 of {file}": file in files for file in read}
        needs |= {f"a plain file name instead of {name!r}": False for name in files if not _is_plain(name)}
        _require(needs)
        return files

    def graph(self, role: GraphRole, precision: Precision = "float32") -> Graph:
        """Return the graph of a role in that precision, or in float32 if the bundle lacks the precision."""
        found = {graph.precision: graph for graph in self.graphs if graph.role == role}
        return found[precision if precision in found else "float32"]


class ClassificationManifest(Manifest):
    """Manifest of a text classifier."""

    roles = frozenset({"classify"})

    task: Literal["classification"]
    labels: list[str] = Field(min_length=2)
    temperature: float = Field(1.0, gt=0.05, lt=20)
    """Temperature that calibrates the probabilities of the network (Guo et al. 2017). Golden answers are without it."""


class TranslationManifest(Manifest):
    """Manifest of a translator."""

    roles = frozenset({"encode", "step"})
    tokenizer_roles = frozenset({"source", "target"})

    task: Literal["translation"]
    source: str = Field(min_length=1)
    """Language code of the source."""
    target: str = Field(min_length=1)
    """Language code of the target."""
    special_ids: SpecialIds
    limits: TranslationLimits
    stand_ins: list[Annotated[str, Field(pattern="^[\ue000-\uf8ff]$")]] = []
    """Private-use characters that have a token of their own and that the network copies (`conventions.STAND_INS`)."""
    word_calibration: WordCalibration | None = None
    """For the confidence of words (`translation/confidence.py`)."""


class GenerationManifest(Manifest):
    """Manifest of a language model."""

    roles = frozenset({"step"})

    task: Literal["generation"]
    special_ids: SpecialIds
    limits: GenerationLimits


AnyManifest = ClassificationManifest | TranslationManifest | GenerationManifest
_ADAPTER: TypeAdapter[AnyManifest] = TypeAdapter(Annotated[AnyManifest, Field(discriminator="task")])


def parse_manifest(content: object) -> AnyManifest:
    """Validate the content of a manifest. Raises ValidationError, which lists every problem."""
    return _ADAPTER.validate_python(content)


def describe(error: ValidationError) -> str:
    """Return all problems in one line, each with its field."""
    tasks = get_args(Task)
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in problem["loc"] if part not in tasks)
        problems.append(f"{field or 'manifest'}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def _names(tensors: Iterable[TensorInfo]) -> set[str]:
    return {tensor.name for tensor in tensors}


def _is_plain(name: str) -> bool:
    """Return whether a name is a file name without a folder."""
    return name not in ("", ".", "..") and not {"/", "\0"} & set(name)


def _require(needs: dict[str, bool]) -> None:
    """Raise ValueError, which lists every need that is not met."""
    if missing := [need for need, met in needs.items() if not met]:
        raise ValueError("the manifest needs " + ", ".join(missing))
