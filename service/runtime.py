"""onnxruntime: the one owner of session options, providers and threads."""

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

from service.bundle.manifest import Graph, GraphRole, Manifest, Precision, TensorInfo
from service.errors import BundleCorrupt, BundleMismatch, DeviceUnavailable

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.generic]]
Device = Literal["auto", "cpu", "cuda"]

CPU = OrtDevice(OrtDevice.cpu(), OrtDevice.default_memory(), 0)
RUN_OPTIONS = ort.RunOptions()

MOST_LANES = 4
"""Of a decoder."""

DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(bool)": "bool"}


def available_cores() -> int:
    """The cores this process may use: its affinity, cut by the container's quota (cgroup v2), one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2 here: the affinity is all there is to know
    return cores


@dataclass(slots=True)  # not frozen: a step makes a dozen, and a frozen one takes four times as long
class Value:
    """An array where the network runs."""

    raw: Any
    """onnxruntime's own OrtValue."""
    backing: NDArray[np.generic] | None = None
    """The array whose memory it reads, if it does, and which has to live as long."""

    def numpy(self) -> NDArray[Any]:
        found: NDArray[Any] = self.raw.numpy()
        return found

    @property
    def shape(self) -> list[int]:
        found: list[int] = self.raw.shape()
        return found


Values = dict[str, Value]


class Session:
    """One loaded graph: named arrays in, named arrays out. Safe to call from several threads."""

    def __init__(self, session: ort.InferenceSession, graph: Graph, at_once: int = 1):
        self._session = session
        self.graph = graph
        self.at_once = at_once
        """So many calls side by side use all the threads there are."""
        self.output_names = [output.name for output in graph.outputs]
        on_cuda = "CUDAExecutionProvider" in session.get_providers()
        self._device = OrtDevice(OrtDevice.cuda() if on_cuda else OrtDevice.cpu(), OrtDevice.default_memory(), 0)

    def run(self, inputs: Arrays, outputs: list[str] | None = None) -> Arrays:
        """Run the graph for the outputs asked for (all by default). An output not asked for is never copied."""
        names = outputs if outputs is not None else self.output_names
        return dict(zip(names, self._session.run(names, inputs), strict=True))

    def value(self, array: NDArray[np.generic]) -> Value:
        """An array where the network runs, to be an input again and again."""
        backing = np.ascontiguousarray(array)
        return Value(OrtValue.ortvalue_from_numpy(backing, self._device), backing)

    def run_keeping(self, inputs: Mapping[str, Value], outputs: list[str], kept: list[str]) -> tuple[Arrays, Values]:
        """Run the graph for `outputs`, which come back as arrays, and for `kept`, which stay where the network runs and
        are nowhere copied.

        Of onnxruntime's ways to do this it is the one that costs least in Python: a step is a third of a millisecond.
        """
        feeds, fetches = OrtValueVector(), OrtValueVector()
        for value in inputs.values():
            feeds.push_back(value.raw)
        names = [*outputs, *kept]
        devices = [CPU] * len(outputs) + [self._device] * len(kept)
        self._session.run_with_ortvaluevector(RUN_OPTIONS, list(inputs), feeds, names, fetches, devices)
        found = [fetches[place] for place in range(len(names))]  # to iterate costs four times as much
        arrays = {name: value.numpy() for name, value in zip(outputs, found, strict=False)}
        return arrays, {name: Value(raw) for name, raw in zip(kept, found[len(outputs) :], strict=True)}


class Runtime:
    """Opens sessions on one device with one set of options.

    Raises DeviceUnavailable if `cuda` is asked for and onnxruntime cannot use it: no silent fallback.
    """

    def __init__(
        self, device: Device = "auto", threads: int | None = None, precision: Literal["auto", Precision] = "auto"
    ):
        self.threads = threads or available_cores()
        if (
            hasattr(ort, "preload_dlls")
            and device != "cpu"
            and "CUDAExecutionProvider" in ort.get_available_providers()
        ):
            ort.preload_dlls()  # finds the CUDA libraries that came as Python packages
        has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
        if device == "cuda" and not has_cuda:
            raise DeviceUnavailable(
                "LIMELIGHT_DEVICE=cuda, but this onnxruntime has no CUDA provider: install the extra `gpu`"
            )
        self.device = device
        self.providers = ["CPUExecutionProvider"]
        if has_cuda and device != "cpu":
            self.providers.insert(0, "CUDAExecutionProvider")
        self.precision: Precision = (
            precision if precision != "auto" else "float16" if len(self.providers) > 1 else "int8"
        )
        """What is taken where a bundle has it; what is fastest on the device, by default."""

    def _options(self, threads: int, spins: bool) -> ort.SessionOptions:
        """`spins`: whether workers wait for a tenth of a millisecond without sleeping."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena keeps what the largest batch took, hundreds of MB, and saves no time that could be measured.
        options.enable_cpu_mem_arena = False
        # A step of decoding is a hundred small operations: workers that slept between them would wake too late. Idle
        # workers that spin on take the cores from the web server and from other models.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
        options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
        return options

    def open(self, folder: Path, manifest: Manifest, role: GraphRole) -> Session:
        """Load a bundle's graph of this role. Raises BundleCorrupt, BundleMismatch or DeviceUnavailable."""
        graph = manifest.graph(role, self.precision)
        # Threads of one batch wait for each other at every operator: rather several batches, a thread each. A decoder's
        # workers also wait for each other where they are in Python, a fifth of their time.
        most = 1 if len(self.providers) > 1 else self.threads if role == "classify" else MOST_LANES
        at_once = min(self.threads, most)
        try:
            options = self._options(self.threads // at_once, spins=role == "step")
            session = ort.InferenceSession(str(folder / graph.file), options, providers=self.providers)
        except Exception as error:  # onnxruntime's own exceptions share no base class but this one
            raise BundleCorrupt(f"{folder / graph.file} cannot be loaded: {error}") from error
        if self.device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise DeviceUnavailable("LIMELIGHT_DEVICE=cuda, but the CUDA provider did not start (see the log above)")
        differences = [
            *_differences("input", graph.inputs, session.get_inputs()),
            *_differences("output", graph.outputs, session.get_outputs()),
        ]
        if differences:
            raise BundleMismatch(f"{folder / graph.file}: " + "; ".join(differences))
        return Session(session, graph, at_once)


def _differences(what: str, manifest: list[TensorInfo], graph: list[ort.NodeArg]) -> list[str]:
    """How the tensors the manifest lists differ from those the graph has."""
    listed = {tensor.name: (tensor.dtype, tensor.shape) for tensor in manifest}
    actual = {node.name: (DTYPES.get(node.type, node.type), list(node.shape)) for node in graph}
    return [
        f"{what} {name}: the manifest says {listed.get(name, 'nothing')}, the graph {actual.get(name, 'nothing')}"
        for name in sorted(listed.keys() | actual.keys())
        if listed.get(name) != actual.get(name)
    ]
