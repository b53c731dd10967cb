"""Sessions of onnxruntime: their options, providers and threads."""

import copy
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import OrtDevice, OrtValue, OrtValueVector

from service.bundle.bundle import Bundle
from service.bundle.external_data import locations
from service.bundle.manifest import Graph, GraphRole, Manifest, Precision, TensorInfo
from service.cuda import PROVIDER, Cuda
from service.errors import BundleCorrupt, BundleMismatch, DeviceUnavailable

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.generic]]
Device = Literal["auto", "cpu", "cuda"]

CPU = OrtDevice(OrtDevice.cpu(), OrtDevice.default_memory(), 0)
RUN_OPTIONS = ort.RunOptions()

MAX_DECODER_WORKERS = 4
"""Maximum concurrent runs of a decoder. More of them wait for each other in Python, a fifth of their time."""

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def available_cores() -> int:
    """Return the number of cores of this process: its affinity, limited by the container's quota (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # there is no cgroup v2
    return cores


@dataclass(slots=True)  # not frozen: that takes four times as long to create, a dozen times per step
class Value:
    """An array on the device of the session."""

    raw: Any
    """OrtValue of onnxruntime."""
    backing: NDArray[np.generic] | None = None
    """The array whose memory `raw` uses, kept alive with it; None if it owns its memory."""

    def numpy(self) -> NDArray[Any]:
        found: NDArray[Any] = self.raw.numpy()
        return found

    @property
    def shape(self) -> list[int]:
        found: list[int] = self.raw.shape()
        return found


Values = dict[str, Value]


class Session:
    """A loaded graph with named inputs and outputs. Thread-safe."""

    def __init__(self, session: ort.InferenceSession, graph: Graph, concurrency: int = 1, cuda: Cuda | None = None):
        self._session = session
        self._cuda = cuda
        self.graph = graph
        self.concurrency = concurrency
        """Number of concurrent runs that together use all threads."""
        self.output_names = [output.name for output in graph.outputs]
        device = (OrtDevice.cpu(), 0) if cuda is None else (OrtDevice.cuda(), cuda.device)
        self._device = OrtDevice(device[0], OrtDevice.default_memory(), device[1])

    @property
    def on_cuda(self) -> bool:
        return self._cuda is not None

    def run(self, inputs: Arrays, outputs: list[str] | None = None) -> Arrays:
        """Run the graph and return the named outputs, by default all. Other outputs are not copied."""
        names = outputs if outputs is not None else self.output_names
        try:
            return dict(zip(names, self._session.run(names, inputs), strict=True))
        except Exception as error:
            if self._cuda is not None:
                self._cuda.end_process_if_lost(error)
            raise

    def value(self, array: NDArray[np.generic]) -> Value:
        """Copy an array to the device, as an input of several runs."""
        backing = np.ascontiguousarray(array)
        return Value(OrtValue.ortvalue_from_numpy(backing, self._device), backing)

    def run_keeping(self, inputs: Mapping[str, Value], outputs: list[str], kept: list[str]) -> tuple[Arrays, Values]:
        """Run the graph. Return `outputs` as arrays, and `kept` as values that stay on the device without a copy.

        This call of onnxruntime has the least overhead in Python. It matters: a step takes a third of a millisecond.
        """
        feeds, fetches = OrtValueVector(), OrtValueVector()
        for value in inputs.values():
            feeds.push_back(value.raw)
        names = [*outputs, *kept]
        devices = [CPU] * len(outputs) + [self._device] * len(kept)
        try:
            self._session.run_with_ortvaluevector(RUN_OPTIONS, list(inputs), feeds, names, fetches, devices)
        except Exception as error:
            if self._cuda is not None:
                self._cuda.end_process_if_lost(error)
            raise
        found = [fetches[place] for place in range(len(names))]  # an iterator takes four times as long
        arrays = {name: value.numpy() for name, value in zip(outputs, found, strict=False)}
        return arrays, {name: Value(raw) for name, raw in zip(kept, found[len(outputs) :], strict=True)}


class Runtime:
    """Opens sessions on one device with one set of options.

    Raises DeviceUnavailable if the device is `cuda` and onnxruntime cannot use it, or if CUDA cannot run the precision.
    With `auto`, a device that cannot be used is one warning with the reason, unless onnxruntime has no CUDA provider.
    """

    def __init__(
        self,
        device: Device = "auto",
        threads: int | None = None,
        precision: Literal["auto", Precision] = "auto",
        cuda_device: int = 0,
        cuda_memory_bytes: int | None = None,
    ):
        """cuda_device: number of the CUDA device. cuda_memory_bytes: maximum memory of this process on it."""
        self.threads = threads or available_cores()
        self.cuda = None if device == "cpu" else _open_cuda(device, cuda_device, cuda_memory_bytes)
        self.providers = ["CPUExecutionProvider"] if self.cuda is None else [PROVIDER, "CPUExecutionProvider"]
        """Names of the providers that a session has started."""
        if self.cuda is not None and precision == "int8":
            raise DeviceUnavailable(
                "LIMELIGHT_PRECISION=int8: CUDA has no kernels for int8 graphs; set float16 or float32, or "
                "LIMELIGHT_DEVICE=cpu"
            )
        self.precision: Precision = precision if precision != "auto" else "int8" if self.cuda is None else "float16"
        """Preferred precision, by default the fastest on the device. A bundle without it is served in float32."""
        self.rewrites = self.cuda is not None
        """Float32 graphs are rewritten for CUDA. On a CPU, this serves to compare their numbers."""

    def in_float32(self) -> "Runtime":
        """This runtime with the precision float32."""
        found = copy.copy(self)
        found.precision = "float32"
        return found

    def _options(self, threads: int, spins: bool) -> ort.SessionOptions:
        """Return session options. With `spins`, threads wait for 0.1 ms actively before they sleep."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena would keep the memory of the largest batch, hundreds of MB. It saves no measurable time.
        options.enable_cpu_mem_arena = False
        # A decoding step is a hundred small operations: threads that sleep between them wake too late. A longer spin
        # takes the cores from the web server and from other models.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
        options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
        if self.rewrites:
            # The last level (FuseInitializersTransformer) crashes on float16 weights that a CPU converts to float32.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        if self.cuda is not None:
            options.add_session_config_entry("session.use_env_allocators", "1")
        return options

    def open(self, bundle: Bundle[Manifest], role: GraphRole) -> Session:
        """Load the graph of this role. Raises BundleCorrupt, BundleMismatch or DeviceUnavailable."""
        graph = bundle.manifest.graph(role, self.precision)
        path = bundle.folder / graph.file
        # Threads of one batch wait for each other at every operator. Several batches with one thread each are faster.
        limit = 1 if self.cuda is not None else self.threads if role == "classify" else MAX_DECODER_WORKERS
        concurrency = min(self.threads, limit)
        try:
            options = self._options(self.threads // concurrency, spins=role == "step")
            content = bundle.files[graph.file]
            if self.rewrites and graph.precision == "float32":
                graph, content = self._rewritten(bundle, graph)
            weights = {name: bundle.files[name] for name in locations(content)}
            if weights:  # without this, onnxruntime reads the files again
                sizes = [len(weight) for weight in weights.values()]
                options.add_external_initializers_from_files_in_memory([*weights], [*weights.values()], sizes)
            providers = self.providers if self.cuda is None else self.cuda.providers
            session = ort.InferenceSession(content, options, providers=providers)
        except Exception as error:  # exceptions of onnxruntime share only this base class
            raise BundleCorrupt(f"{path} cannot be loaded: {error}") from error
        if self.cuda is not None:
            if PROVIDER not in session.get_providers():
                raise DeviceUnavailable(f"the CUDA provider did not start for {path} (see the log above)")
            session.disable_fallback()  # else a failed run loads the graph on the CPU
        differences = [
            *_differences("input", graph.inputs, session.get_inputs()),
            *_differences("output", graph.outputs, session.get_outputs()),
        ]
        if differences:
            raise BundleMismatch(f"{path}: " + "; ".join(differences))
        return Session(session, graph, concurrency, self.cuda)

    def _rewritten(self, bundle: Bundle[Manifest], graph: Graph) -> tuple[Graph, bytes]:
        """The graph for CUDA in float16 or float32."""
        from service.bundle.cuda_graphs import graph_for_cuda  # only the extra `gpu` installs what it needs

        precision: Precision = "float16" if self.precision == "float16" else "float32"
        return graph_for_cuda(bundle.manifest, graph, bundle.files[graph.file], precision)


def _open_cuda(device: Device, number: int, memory_bytes: int | None) -> Cuda | None:
    """Open a CUDA device. With `auto`, returns None if it cannot be used. Raises DeviceUnavailable."""
    try:
        return Cuda(number, memory_bytes)
    except DeviceUnavailable as error:
        if device == "cuda":
            raise DeviceUnavailable(f"LIMELIGHT_DEVICE=cuda: {error}") from error
        if PROVIDER in ort.get_available_providers():  # a wheel for CPUs is no request for a GPU
            log.warning("no GPU is used: %s", error)
        return None


def _differences(kind: str, manifest: list[TensorInfo], graph: list[ort.NodeArg]) -> list[str]:
    """Describe each tensor that differs between the manifest and the graph."""
    listed = {tensor.name: (tensor.dtype, tensor.shape) for tensor in manifest}
    actual = {node.name: (DTYPES.get(node.type, node.type), list(node.shape)) for node in graph}
    return [
        f"{kind} {name}: the manifest says {listed.get(name, 'nothing')}, the graph {actual.get(name, 'nothing')}"
        for name in sorted(listed.keys() | actual.keys())
        if listed.get(name) != actual.get(name)
    ]
