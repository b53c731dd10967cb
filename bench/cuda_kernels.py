"""Which kernels onnxruntime's CUDA provider has, and whether they take the graphs of the bundles, without a GPU.

Needs gcc, nm and strings, and an interpreter with the package onnxruntime-gpu:

    python3.11 -m venv /tmp/gpu && /tmp/gpu/bin/pip install --no-deps onnxruntime-gpu==1.31.1 numpy
    python -m bench.cuda_kernels table --python /tmp/gpu/bin/python > tests/golden/cuda_kernels.tsv
    python -m bench.cuda_kernels run --python /tmp/gpu/bin/python

The CUDA provider loads libraries of CUDA and cuDNN and needs their functions, not their results. This module compiles
placeholder libraries: memory of the device is memory of the host, copies copy, and every other function succeeds and
does nothing. `table` reads the registry of kernels from the provider. `run` runs each graph: the provider places the
operators, and its kernels check types, shapes and attributes. The results are meaningless.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from service.bundle.bundle import read_bundle
from service.bundle.cuda_graphs import graph_for_cuda
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import WEIGHTS, Graph, Precision

MODELS = Path("models")
PRECISIONS: tuple[Precision, ...] = ("float32", "float16")

DEVICE_BYTES = 80 << 30
PROPERTIES = {296: 49_152, 304: 65_536, 308: 32, 320: 1_024, 360: 9, 384: 132}
"""Offset -> value in CUDA 13's cudaDeviceProp: shared memory, registers, warp, threads, major, processors."""
RNN_BYTES = 1 << 22
FUNCTIONS = [
    "int cudaMalloc(void**p,unsigned long n){*p=calloc(n?n:1,1);return 0;}",
    "int cudaMallocHost(void**p,unsigned long n){*p=calloc(n?n:1,1);return 0;}",
    "int cudaHostAlloc(void**p,unsigned long n,unsigned f){*p=calloc(n?n:1,1);return 0;}",
    "int cudaFree(void*p){free(p);return 0;}",
    "int cudaFreeHost(void*p){free(p);return 0;}",
    "int cudaMemcpy(void*d,const void*s,unsigned long n,int k){memmove(d,s,n);return 0;}",
    "int cudaMemcpyAsync(void*d,const void*s,unsigned long n,int k,void*q){memmove(d,s,n);return 0;}",
    "int cudaGetDeviceCount(int*n){*n=1;return 0;}",
    "int cudaGetDevice(int*n){*n=0;return 0;}",
    "int cudaMemGetInfo(unsigned long*a,unsigned long*b){*a=*b=80ul<<30;return 0;}",
    'const char*cudaGetErrorString(int e){return "placeholder";}',
    'const char*cudaGetErrorName(int e){return "placeholder";}',
    "int cudaDriverGetVersion(int*v){*v=13000;return 0;}",
    "int cudaRuntimeGetVersion(int*v){*v=13000;return 0;}",
    "int cudaDeviceGetAttribute(int*v,int a,int d){*v=1024;return 0;}",
    "int cudaPointerGetAttributes(void*v,const void*d){return 1;}",
    "int cuInit(unsigned f){return 0;}",
    "int cuDeviceGetCount(int*n){*n=1;return 0;}",
    "int cuDriverGetVersion(int*v){*v=13000;return 0;}",
    "int cudaGetDeviceProperties(char*p,int d){memset(p,0,900);"
    + "".join(f"*(int*)(p+{place})={value};" for place, value in PROPERTIES.items())
    + f"*(long*)(p+288)={DEVICE_BYTES}l;for(int i=324;i<348;i+=4)*(int*)(p+i)=1024;return 0;}}",
    "unsigned long cudnnGetVersion(){return 91900;}",
    'const char*cudnnGetErrorString(int e){return "placeholder";}',
    f"int cudnnGetRNNWeightSpaceSize(void*h,void*d,unsigned long*n){{*n={RNN_BYTES};return 0;}}",
    "int cudnnGetRNNTempSpaceSizes(void*h,void*d,int m,void*x,unsigned long*a,unsigned long*b)"
    f"{{if(a)*a={RNN_BYTES};if(b)*b={RNN_BYTES};return 0;}}",
    "int cudnnGetRNNWeightParams(void*h,void*d,int l,unsigned long n,char*w,int id,void*m,void**a,void*b,void**c)"
    "{*a=w;*c=w;return 0;}",
    "int cudnnGetTensorNdDescriptor(void*d,int r,int*t,int*n,int*a,int*s)"
    "{*t=0;*n=3;a[0]=a[1]=a[2]=1;s[0]=s[1]=s[2]=1;return 0;}",
    "int cudnnDropoutGetStatesSize(void*h,unsigned long*n){*n=1024;return 0;}",
    f"int cudnnGetReductionWorkspaceSize(void*h,void*d,void*a,void*b,unsigned long*n){{*n={RNN_BYTES};return 0;}}",
    f"int cudnnGetReductionIndicesSize(void*h,void*d,void*a,void*b,unsigned long*n){{*n={RNN_BYTES};return 0;}}",
]
"""Functions with a result that the provider reads."""
UNVERSIONED = {r"cu[A-Z]": "libcuda.so.1", r"create(Infer|.*INTERNAL)|getInferLib|getPlugin": "libnvinfer.so.10"}
EMPTY = ["libcurand.so.10", "libnvonnxparser.so.10", "libcudnn.so.9", "libnvinfer.so.10"]
"""Libraries that the providers name, and that may have no function of their own here."""

TABLE = """
import onnxruntime as ort
ort.set_default_logger_severity(4)
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def
rows = set()
for kernel in get_all_opkernel_def():
    if kernel.provider == "CUDAExecutionProvider":
        first, last = kernel.version_range
        types = [f"{name}={','.join(sorted(t[7:-1] if t.startswith('tensor(') else t for t in listed))}"
                 for name, listed in sorted(kernel.type_constraints.items())]
        rows.add((kernel.domain, kernel.op_name, first, min(last, 9999), " ".join(types)))
print(f"# onnxruntime-gpu {ort.__version__}: domain, operator, first and last version of the operator, types")
for row in sorted(rows):
    print(*row, sep="\\t")
"""

RUN = """
import collections, json, os, sys
import numpy as np
import onnxruntime as ort
ort.set_default_logger_severity(4)
SIZES, refused = {"batch": 2, "rows": 4, "sentences": 2, "before": 2}, 0
for case in json.load(open(sys.argv[1])):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling, options.profile_file_prefix = True, sys.argv[1]
    counts, memory = collections.Counter(), collections.Counter()
    feeds = {}
    for tensor in case["inputs"]:
        shape = [SIZES.get(d, 3) if isinstance(d, str) else d for d in tensor["shape"]]
        feeds[tensor["name"]] = np.full(shape, 3 if tensor["name"].endswith("lengths") else 1, tensor["dtype"])
    if "parents" in feeds:
        feeds["parents"] = np.arange(len(feeds["parents"])) // 2
    problem = "ok"
    try:
        session = ort.InferenceSession(case["file"], options, ["CUDAExecutionProvider", "CPUExecutionProvider"])
        assert session.get_providers()[0] == "CUDAExecutionProvider"
        session.disable_fallback()
        try:
            session.run(None, feeds)
        finally:
            profile = session.end_profiling()
            for event in json.load(open(profile)):
                if event["name"].endswith("_kernel_time") and "provider" in event["args"]:
                    on_cuda = event["args"]["provider"].startswith("CUDA")
                    counts["CUDA" if on_cuda else event["args"]["op_name"]] += 1
            os.remove(profile)
    except Exception as error:
        problem, refused = str(error).strip()[:300], refused + 1
    on_cuda = counts.pop("CUDA", 0)
    cpu = " ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    print(f"{case['title']:<40} {problem}; {on_cuda} operators with CUDA, on the CPU: {cpu or 'none'}")
sys.exit(refused > 0)
"""


def placeholders(python: Path, folder: Path) -> None:
    """Compile placeholder libraries of CUDA for the onnxruntime of an interpreter into a folder."""
    where = "import onnxruntime, os; print(os.path.dirname(onnxruntime.__file__))"
    package = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    providers = [package / "capi" / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt")]
    libraries: dict[str, set[str]] = defaultdict(set)
    for provider in providers:
        for line in output("nm", "-D", "--undefined-only", str(provider)):
            symbol, _, version = line.split()[-1].partition("@")
            library = version.lstrip("@")
            if not library:
                library = next((found for start, found in UNVERSIONED.items() if re.match(start, symbol)), "")
            if library.startswith("lib"):
                libraries[library].add(symbol)
    # The provider opens cuDNN and the driver at run time, by name.
    libraries["libcudnn.so.9"] |= {
        s for s in output("strings", "-a", str(providers[0])) if re.fullmatch(r"cudnn\w+", s)
    }
    libraries["libcuda.so.1"] |= {"cuInit", "cuDeviceGetCount", "cuDriverGetVersion"}
    known = {re.findall(r"(\w+)\(", text)[0]: text for text in FUNCTIONS}
    for library in {*libraries, *EMPTY}:
        compile_library(folder, library, libraries[library], known)


def output(*command: str) -> list[str]:
    """Lines that a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def compile_library(folder: Path, library: str, symbols: set[str], known: dict[str, str]) -> None:
    """Compile one placeholder library."""
    source, map_file = folder / f"{library}.c", folder / f"{library}.map"
    code = ["#include <stdlib.h>", "#include <string.h>"]
    for symbol in sorted(symbols):
        created = f"static long {symbol}_handle[64];long {symbol}(void**p){{*p={symbol}_handle;return 0;}}"
        code.append(known.get(symbol) or (created if "Create" in symbol else f"long {symbol}(){{return 0;}}"))
    source.write_text("\n".join([*code, ""]))
    map_file.write_text(f"{library} {{ global: *; }};\n")
    versions = (
        [f"-Wl,--version-script={map_file}"] if symbols and not library.startswith(("libcuda.so", "libnv")) else []
    )
    target = ["-Wl,-soname," + library, "-o", str(folder / library), str(source)]
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", *versions, *target], check=True)


def write_graphs(folder: Path) -> list[dict[str, object]]:
    """Write the graphs that the service loads with CUDA, in both precisions, and return a description of each."""
    cases = []
    for versions in find_bundles(MODELS).values():
        for bundle_folder in versions.values():
            manifest = read_manifest(bundle_folder)
            bundle = read_bundle(bundle_folder, manifest)
            for precision in PRECISIONS:
                own = folder / f"{manifest.name}-{manifest.version}-{precision}"
                own.mkdir()
                (own / WEIGHTS).write_bytes((bundle_folder / WEIGHTS).read_bytes())
                for graph in manifest.graphs:
                    if graph.precision == "float32":
                        described, content = graph_for_cuda(manifest, graph, bundle.files[graph.file], precision)
                        (own / graph.file).write_bytes(content)
                        cases.append(described_case(f"{own.name} {graph.role}", own / graph.file, described))
    return cases


def described_case(title: str, file: Path, graph: Graph) -> dict[str, object]:
    return {"title": title, "file": str(file), "inputs": [tensor.model_dump() for tensor in graph.inputs]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["table", "run"])
    parser.add_argument("--python", type=Path, required=True, help="Interpreter with onnxruntime-gpu.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        placeholders(options.python, folder)
        arguments = ["-c", TABLE]
        if options.command == "run":
            (folder / "cases.json").write_text(json.dumps(write_graphs(folder)))
            arguments = ["-c", RUN, str(folder / "cases.json")]
        return subprocess.run([options.python, *arguments], env={"LD_LIBRARY_PATH": name}).returncode


if __name__ == "__main__":
    sys.exit(main())
