import ctypes
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import yaml
from onnx import TensorProto, helper

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.cuda import EXIT_CODE, PROBE, PROVIDER, Cuda, driver_problem, host_problem, library_problem, main
from service.errors import DeviceUnavailable
from service.registry.registry import Registry
from service.runtime import Runtime
from tests.service import cuda_fakes
from tests.service.cuda_fakes import CPU, FakeDevice

ROOT = Path(__file__).parents[2]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    return cuda_fakes.install(monkeypatch)


class Driver:
    """The functions of libcuda.so.1 that are used."""

    def __init__(self, version: int = 13_000, devices: int = 1, code: int = 0):
        self.version, self.devices, self.code = version, devices, code

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDriverGetVersion(self, found: Any) -> int:
        found._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, found: Any) -> int:
        found._obj.value = self.devices
        return 0


@pytest.mark.parametrize(
    ("driver", "number", "reason"),
    [
        (Driver(), 0, None),
        (Driver(devices=2), 1, None),
        (Driver(devices=2), 2, "there is no CUDA device 2, only 2"),
        (Driver(devices=0), 0, "finds no GPU"),
        (Driver(code=100), 0, "finds no GPU"),
        (Driver(code=999), 0, "error 999 of cuInit"),
        (Driver(version=12_080), 0, "supports CUDA 12.8, and this onnxruntime needs CUDA 13: install driver 580"),
        (None, 0, "there is no NVIDIA driver"),
    ],
)
def test_the_driver(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, number: int, reason: str | None) -> None:
    def load(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError(name)
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr("service.cuda.cuda_major", lambda: 13)
    found = driver_problem(number)
    assert found is reason is None or (reason is not None and reason in str(found))


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name.startswith("libcudnn"):
            raise OSError(f"{name}: cannot open shared object file")
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert "libcudnn.so.9: cannot open shared object file" in str(library_problem())
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert library_problem() is None


def test_the_probe_doubles_its_input() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "probe", [x], [y])
    assert onnx.load_from_string(PROBE).graph == graph
    session = ort.InferenceSession(PROBE, providers=[CPU])
    assert session.run(None, {"x": np.array([3], np.float32)})[0].tolist() == [6]


def test_options_of_the_provider(device: FakeDevice) -> None:
    Cuda(2, 5_000_000)
    [[(name, options), other]] = device.providers
    assert (name, other) == (PROVIDER, CPU)
    assert options["device_id"] == "2" and options["gpu_mem_limit"] == "5000000"
    assert options["use_tf32"] == "0"
    assert device.options[0].get_session_config_entry("session.use_env_allocators") == "1"


def test_a_provider_that_does_not_start(device: FakeDevice) -> None:
    device.starts = False
    with pytest.raises(DeviceUnavailable, match="did not start"):
        Cuda()


def test_a_device_that_does_not_compute(device: FakeDevice) -> None:
    device.lost = True
    with pytest.raises(DeviceUnavailable, match="does not compute: CUDA failure 700"):
        Cuda()


def test_auto_and_cuda_use_the_device(device: FakeDevice, models: Path) -> None:
    manifest = read_manifest(models / "toy" / "1")
    bundle = read_bundle(models / "toy" / "1", manifest)
    for choice in ("auto", "cuda"):
        runtime = Runtime(choice, threads=4)
        assert (runtime.providers, runtime.precision) == ([PROVIDER, CPU], "float16")
        session = runtime.open(bundle, "classify")
        assert (session.on_cuda, session.concurrency, session.graph.precision) == (True, 1, "float16")
    assert not Runtime("cpu", threads=4).open(bundle, "classify").on_cuda


def test_a_missing_device_is_one_warning(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, models: Path
) -> None:
    """With `auto`, the CPU serves with all threads, in int8."""
    monkeypatch.setattr("service.cuda.driver_problem", lambda number: "there is no driver")
    with caplog.at_level(logging.INFO, "service"):
        runtime = Runtime("auto", threads=3)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "no GPU is used: there is no driver"
    ]
    assert (runtime.providers, runtime.precision, runtime.rewrites) == ([CPU], "int8", False)
    bundle = read_bundle(models / "toy" / "1", read_manifest(models / "toy" / "1"))
    session = runtime.open(bundle, "classify")
    assert (session.on_cuda, session.concurrency) == (False, 3)
    assert device.providers == [[CPU]]
    with pytest.raises(DeviceUnavailable, match="LIMELIGHT_DEVICE=cuda: there is no driver"):
        Runtime("cuda")


def test_a_wheel_for_cpus_is_no_warning(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CPU])
    assert Runtime("auto").providers == [CPU]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("choice", ["auto", "cuda"])
def test_int8_is_refused(device: FakeDevice, choice: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="CUDA has no kernels for int8 graphs"):
        Runtime(choice, precision="int8")


def test_short_texts_do_not_run_on_the_event_loop(device: FakeDevice, models: Path) -> None:
    registry = Registry(models, Runtime("cuda", threads=1), Limits())
    registry.load("toy")
    classifier = registry.classifier("toy")
    assert classifier.precision == "float16"
    assert [engine.seconds_per_token for engine in classifier.scheduler.engines] == [float("inf")]
    registry.close()


def test_a_lost_device_ends_the_process(
    device: FakeDevice, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another error of a run does not end it."""
    ended: list[int] = []
    monkeypatch.setattr("service.cuda.os", SimpleNamespace(_exit=ended.append))
    monkeypatch.setattr("service.cuda.logging.shutdown", lambda: None)
    bundle = read_bundle(models / "toy" / "1", read_manifest(models / "toy" / "1"))
    session = Runtime("cuda").open(bundle, "classify")
    inputs: Any = {"ids": np.array([[5, 7]]), "lengths": np.array([2])}
    with pytest.raises(Exception, match="lengths"):
        session.run({"ids": inputs["ids"]})
    assert not ended
    device.lost = True
    with pytest.raises(RuntimeError, match="CUDA failure 700"):
        session.run(inputs)
    assert ended == [EXIT_CODE]
    assert "does not answer" in caplog.text


def test_a_model_that_float16_changes_is_served_in_float32(
    device: FakeDevice, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def problem(predictor: Any, *_: Any) -> str | None:
        return "it is answered wrongly" if predictor.precision == "float16" else None

    monkeypatch.setattr("service.registry.loading.golden_problem", problem)
    runtime = Runtime("cuda", threads=1)
    registry = Registry(models, runtime, Limits())
    registry.load("toy")
    assert registry.classifier("toy").precision == "float32"
    assert runtime.precision == "float16"
    assert "toy/1 is served in float32, since float16 is refused" in caplog.text
    registry.close()


OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)"
OLD = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024"


@pytest.mark.parametrize(
    ("kernel", "driver", "reason"),
    [
        ("Linux version 6.8", OPEN, None),
        ("Linux version 6.8", OLD, "the NVIDIA driver 535: CUDA 13 needs driver 580 or newer"),
        ("Linux version 6.8", None, "no NVIDIA driver: install driver 580 or newer"),
        ("Linux version 5.15-microsoft-standard-WSL2", None, None),
    ],
)
def test_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str, driver: str | None, reason: str | None
) -> None:
    monkeypatch.setattr("service.cuda.cuda_major", lambda: 13)
    (tmp_path / "version").write_text(kernel)
    if driver is not None:
        (tmp_path / "driver/nvidia").mkdir(parents=True)
        (tmp_path / "driver/nvidia/version").write_text(driver)
    found = host_problem(tmp_path)
    assert found is reason is None or (reason is not None and reason in str(found))


def test_compose_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The service with a device starts after one without a device that checks the host and prints one line."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["limelight-gpu"]["depends_on"] == {"gpu-host": {"condition": "service_completed_successfully"}}
    assert services["gpu-host"]["image"] == services["limelight-gpu"]["image"]
    assert services["gpu-host"]["command"] == ["python", "-m", "service.cuda"]
    assert not {"deploy", "restart"} & services["gpu-host"].keys()
    monkeypatch.setattr("service.cuda.host_problem", lambda: "this host has no NVIDIA driver")
    assert main() == 1
    assert capsys.readouterr().err == "no GPU: this host has no NVIDIA driver\n"
    monkeypatch.setattr("service.cuda.host_problem", lambda: None)
    assert main() == 0
