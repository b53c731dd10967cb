"""`python -m bench.cuda_pack FOLDER`: pack what `bench.cuda` needs on another machine, with wheels for its Python.

Writes gpu-check.tar, in parts of `--part-mb`. On the other machine, which needs Python, pip and an NVIDIA driver:

    cat gpu-check.tar.* | tar -x && sh gpu-check/run.sh

The wheels of CUDA and cuDNN (2 GB) are packed with `--cuda`. Without them, run.sh takes the libraries from the
packages that the other machine's Python has, such as those of torch.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from bench.cuda_peers import CONVERTED
from bench.cuda_sample import read_sample, write_sample
from service.bundle.files import find_bundles

ROOT = Path(__file__).parents[1]
SOURCES = ("bench", "service", "training")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
SCRIPT = """\
#!/bin/sh
# Install the wheels into a folder beside this script, and run the check. Arguments are those of bench.cuda.
cd "$(dirname "$0")" || exit
python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target site wheels/*.whl || exit
export PYTHONPATH="$PWD/site" PYTHONUNBUFFERED=1
found=$(python3 -c 'import glob, sys
print(":".join(folder for path in sys.path if path for folder in glob.glob(path + "/nvidia/*/lib")))')
export LD_LIBRARY_PATH="$found:$LD_LIBRARY_PATH"
exec python3 -m bench.cuda --sample sample.json --out "${OUT:-.}/gpu-check.json" "$@"
"""


def requirements(cuda: bool) -> list[str]:
    """The packages of the service and of the check, as requirements of pip."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names: list[str] = [*project["dependencies"], *project["optional-dependencies"]["gpu"], "ctranslate2", "sacrebleu"]
    return names if cuda else [name.replace("[cuda,cudnn]", "") for name in names]


def download(folder: Path, version: str, cuda: bool) -> None:
    """Download the wheels for a version of Python on x86-64 Linux, in the versions of constraints.txt."""
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary=:all:"]
        + ["--python-version", version, "--implementation", "cp", *platforms]
        + ["-c", str(ROOT / "constraints.txt"), "-d", str(folder), *requirements(cuda)],
        check=True,
    )


def fill(folder: Path, options: argparse.Namespace) -> None:
    """Write the content of the archive."""
    ignored = shutil.ignore_patterns("__pycache__", "*.png")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name, versions in find_bundles(ROOT / "models").items():
        newest = versions[max(versions)]
        shutil.copytree(newest, folder / "models" / name / newest.name, ignore=ignored)
    write_sample(read_sample(None), folder / "sample.json")
    from bench.ctranslate2_converter import convert  # needs torch

    bundles = find_bundles(folder / "models")["en-fr"]
    convert(bundles[max(bundles)], folder / CONVERTED)
    (folder / "run.sh").write_text(SCRIPT)
    (folder / "wheels").mkdir()
    if not options.no_wheels:
        download(folder / "wheels", options.python, options.cuda)


def write_parts(archive: Path, part_bytes: int) -> list[Path]:
    """Split a file into parts, named .00, .01 and so on. Removes the file."""
    parts: list[Path] = []
    with archive.open("rb") as whole:
        while content := whole.read(part_bytes):
            parts.append(archive.with_name(f"{archive.name}.{len(parts):02}"))
            parts[-1].write_bytes(content)
    archive.unlink()
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Folder for the archive.")
    parser.add_argument("--python", default="3.12", help="Version of Python of the other machine.")
    parser.add_argument("--part-mb", type=int, default=1_000, help="Maximum size of a part.")
    parser.add_argument("--cuda", action="store_true", help="Pack the wheels of CUDA and cuDNN too.")
    parser.add_argument("--no-wheels", action="store_true", help="Pack no wheels: the other machine has the packages.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    archive = options.folder / "gpu-check.tar"
    with tempfile.TemporaryDirectory() as name:
        content = Path(name) / "gpu-check"
        content.mkdir()
        fill(content, options)
        with tarfile.open(archive, "w") as tar:
            tar.add(content, "gpu-check")
    for part in write_parts(archive, options.part_mb * 1_000_000):
        print(f"{part}: {part.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
