"""The parts of `make gpu-check` that need no bundle."""

import math
from pathlib import Path

import pytest

from bench import cuda, cuda_pack
from bench.cuda_sample import Sample, read_sample, write_sample


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        ({"a": [1.0, 2.0], "b": "x"}, {"a": [1.5, 2.25], "b": "x"}, 0.5),
        ({"a": 1.0}, {"b": 1.0}, math.inf),
        ([1.0], [1.0, 2.0], math.inf),
        ("x", "y", math.inf),
        ([], [], 0.0),
    ],
)
def test_difference(expected: object, actual: object, found: float) -> None:
    assert cuda.difference(expected, actual) == found


def test_a_sample_is_read_as_written(tmp_path: Path) -> None:
    sample = Sample([("a dog", "un chien")], {"toy": [("good", "fine")]})
    write_sample(sample, tmp_path / "sample.json")
    read = read_sample(tmp_path / "sample.json")
    assert [tuple(pair) for pair in read.pairs] == sample.pairs
    assert [tuple(row) for row in read.labelled["toy"]] == sample.labelled["toy"]


def test_a_failing_part_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def first(check: cuda.Check) -> cuda.Results:
        raise RuntimeError("no memory")

    def second(check: cuda.Check) -> cuda.Results:
        return {"rate": {"per second": 2.0, "holds": True}}

    write_sample(Sample([], {}), tmp_path / "sample.json")
    monkeypatch.setattr(cuda, "PARTS", [first, second])
    arguments = ["cuda", "--device", "cpu", "--sample", str(tmp_path / "sample.json"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    assert cuda.main() == 1
    printed = capsys.readouterr().out
    assert "no memory" in printed and "per second 2" in printed
    assert '"second"' in (tmp_path / "out").read_text()


def test_a_slow_rate_is_measured_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def run() -> int:
        calls.append(3)
        return 3

    monkeypatch.setattr(cuda, "RATE_S", 0.0)
    assert cuda.per_second(run) > 0 and len(calls) == 1
    monkeypatch.setattr(cuda, "RATE_S", 0.01)
    assert cuda.per_second(run) > 0 and len(calls) > 2


def test_a_sample_has_no_more_rows_than_asked_for() -> None:
    sample = Sample([("a", "b")] * 5, {"toy": [("good", "fine")] * 2}).of(3)
    assert len(sample.pairs) == 3 and len(sample.labelled["toy"]) == 2


def test_parts_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(range(25)))
    parts = cuda_pack.write_parts(tmp_path / "a.tar", 10)
    assert [part.name for part in parts] == ["a.tar.00", "a.tar.01", "a.tar.02"]
    assert b"".join(part.read_bytes() for part in parts) == bytes(range(25))
    assert not (tmp_path / "a.tar").exists()


def test_the_wheels_of_cuda_are_an_option() -> None:
    assert any(name.startswith("onnxruntime-gpu[cuda,cudnn]") for name in cuda_pack.requirements(True))
    assert any(name.startswith("onnxruntime-gpu>") for name in cuda_pack.requirements(False))
