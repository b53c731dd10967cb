"""A CUDA device that is not there: onnxruntime claims it, and the CPU computes."""

from typing import Any

import onnxruntime as ort
import pytest

from service.cuda import PROVIDER

CPU = "CPUExecutionProvider"
OPENED = ort.InferenceSession


class FakeDevice:
    """State of the device, and the sessions that were opened on it."""

    def __init__(self) -> None:
        self.starts = True
        """Sessions start on the device."""
        self.lost = False
        """Every run fails."""
        self.providers: list[list[Any]] = []
        """`providers` of each session."""
        self.options: list[ort.SessionOptions] = []

    def open(self, content: Any, options: ort.SessionOptions | None = None, providers: Any = None) -> "FakeSession":
        self.providers.append(list(providers))
        if options is not None:
            self.options.append(options)
        on_cuda = self.starts and any(each[0] == PROVIDER for each in providers)
        return FakeSession(self, OPENED(content, options, providers=[CPU]), on_cuda)


class FakeSession:
    """A session of the CPU that claims to run on the device."""

    def __init__(self, device: FakeDevice, session: ort.InferenceSession, on_cuda: bool):
        self._device = device
        self._session = session
        self._on_cuda = on_cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [PROVIDER, CPU] if self._on_cuda else [CPU]

    def run(self, *args: Any) -> Any:
        if self._device.lost and self._on_cuda:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        return self._session.run(*args)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """Replace the parts of onnxruntime and of the driver that need a device."""
    device = FakeDevice()
    monkeypatch.setattr(ort, "get_available_providers", lambda: [PROVIDER, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", device.open)
    for check in ("driver_problem", "library_problem", "share_memory"):
        monkeypatch.setattr(f"service.cuda.{check}", lambda *args: None)
    return device
