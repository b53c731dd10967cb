"""A CUDA device, and the reason if onnxruntime cannot use it."""

import contextlib
import ctypes
import io
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from service.errors import DeviceUnavailable

log = logging.getLogger(__name__)

PROVIDER = "CUDAExecutionProvider"
PROBE = bytes.fromhex(
    "08083a390a0e0a01780a01781201792203416464120570726f62655a0f0a0178120a0a08080112040a020801620f0a017912"
    "0a0a08080112040a02080142040a00100e"
)
"""An ONNX graph with one operator: y [1] = x [1] + x [1]."""
DRIVERS = {12: 525, 13: 580}
"""Major version of CUDA -> first driver that supports it."""
NO_DEVICE = 100
"""Error of the driver: no device, or none that this process may use."""
EXIT_CODE = 70
"""Exit code of a process that has lost its device."""


class Cuda:
    """A CUDA device that onnxruntime can use. Raises DeviceUnavailable with the reason if it cannot."""

    def __init__(self, device: int = 0, memory_bytes: int | None = None):
        """device: its number. memory_bytes: maximum memory of this process on the device."""
        self.device = device
        if PROVIDER not in ort.get_available_providers():
            raise DeviceUnavailable("this onnxruntime has no CUDA provider: install the extra `gpu`")
        if (problem := driver_problem(device)) is not None:
            raise DeviceUnavailable(problem)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints each library that it does not find
            ort.preload_dlls()  # finds CUDA libraries that are installed as Python packages
        if (problem := library_problem()) is not None:
            raise DeviceUnavailable(problem)
        options = {"device_id": str(device), "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
        if memory_bytes is not None:
            options["gpu_mem_limit"] = str(memory_bytes)
        self.providers: list[Any] = [(PROVIDER, options), "CPUExecutionProvider"]
        """Providers of a session, with their options. TF32 is off: it rounds the factors of products to 10 bits."""
        share_memory(device, memory_bytes)
        self._probe = ort.InferenceSession(PROBE, session_options(), providers=self.providers)
        if PROVIDER not in self._probe.get_providers():
            raise DeviceUnavailable("the CUDA provider did not start (see the log above)")
        self._probe.disable_fallback()
        if (problem := self.problem()) is not None:
            raise DeviceUnavailable(f"the CUDA provider does not compute: {problem}")

    def problem(self) -> str | None:
        """Run a small graph. Returns the reason if the device does not answer correctly."""
        try:
            [found] = self._probe.run(None, {"x": np.ones(1, np.float32)})
        except Exception as error:  # exceptions of onnxruntime share only this base class
            return str(error)
        return None if found.tolist() == [2.0] else f"1 + 1 is {found.tolist()}"

    def end_process_if_lost(self, error: Exception) -> None:
        """End the process if the device does not answer after an error.

        After an error such as an illegal memory access, every call of CUDA fails until the process ends. The
        supervisor, or the container's restart policy, starts a new process.
        """
        if (problem := self.problem()) is not None:
            log.critical("CUDA device %d does not answer (%s) after: %s; the process ends", self.device, problem, error)
            logging.shutdown()
            os._exit(EXIT_CODE)


def session_options() -> ort.SessionOptions:
    """Options of a session that uses the shared memory of the device."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def share_memory(device: int, memory_bytes: int | None) -> None:
    """Let all sessions use one arena on the device. Without this, each session keeps the memory of its largest run."""
    memory = ort.OrtMemoryInfo("Cuda", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, device, ort.OrtMemType.DEFAULT)
    arena = {"arena_extend_strategy": 1}  # kSameAsRequested
    if memory_bytes is not None:
        arena["max_mem"] = memory_bytes
    ort.create_and_register_allocator_v2(PROVIDER, memory, {"device_id": str(device)}, ort.OrtArenaCfg(arena))


def cuda_major() -> int:
    """The major version of CUDA that onnxruntime is built for."""
    from onnxruntime.capi import build_and_package_info

    return int(str(getattr(build_and_package_info, "cuda_version", "13")).split(".")[0])


def driver_problem(device: int) -> str | None:
    """The reason why the NVIDIA driver offers no such device, or None."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (
            "there is no NVIDIA driver (libcuda.so.1), or the container has no access to it: "
            "install the driver and NVIDIA's container toolkit, and start the container with a GPU"
        )
    code = driver.cuInit(0)
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    major = cuda_major()
    if 0 < version.value < 1000 * major:
        supported = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return (
            f"the NVIDIA driver supports CUDA {supported}, and this onnxruntime needs CUDA {major}: "
            f"install driver {DRIVERS.get(major, 'of that version')} or newer"
        )
    if code == 0:
        driver.cuDeviceGetCount(ctypes.byref(count))
    if code == NO_DEVICE or (code == 0 and count.value == 0):
        return "the NVIDIA driver finds no GPU, or CUDA_VISIBLE_DEVICES hides it"
    if code != 0:
        return f"the NVIDIA driver does not start (error {code} of cuInit): compare it with the output of nvidia-smi"
    if device >= count.value:
        return f"there is no CUDA device {device}, only {count.value} (LIMELIGHT_CUDA_DEVICE counts from 0)"
    return None


def library_problem() -> str | None:
    """The reason why the libraries of CUDA and cuDNN cannot be loaded, or None."""
    major = cuda_major()
    for library in (f"libcudart.so.{major}", f"libcublasLt.so.{major}", f"libcublas.so.{major}", "libcudnn.so.9"):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return f"a library of CUDA {major} is missing ({error}): install the extra `gpu`"
    return None


def host_problem(proc: Path = Path("/proc")) -> str | None:
    """The reason why the host of a container has no GPU for it, or None. It needs no access to the GPU.

    Linux lists the loaded driver in /proc, also in containers. Windows (WSL) does not.
    """
    if "microsoft" in (proc / "version").read_text().lower():
        return None
    file, needed = proc / "driver/nvidia/version", DRIVERS.get(cuda_major(), 0)
    if not file.exists():
        return f"this host has no NVIDIA driver: install driver {needed} or newer, and NVIDIA's container toolkit"
    found = re.search(r"Module\D+?(?:x86_64|aarch64)?\s+(\d+)\.\d", file.read_text())
    if found is not None and int(found[1]) < needed:
        return f"this host has the NVIDIA driver {found[1]}: CUDA {cuda_major()} needs driver {needed} or newer"
    return None


def main() -> int:
    """`python -m service.cuda`: say in one line why this host has no GPU for a container. The exit code is 1 then."""
    if (problem := host_problem()) is not None:
        print(f"no GPU: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
