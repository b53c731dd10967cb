"""Training on another machine: an archive of data, recipe and code, and the import of its result.

python -m training pack en-fr-mixed              -> en-fr-3.tar.gz
tar xzf en-fr-3.tar.gz && python en-fr-3/train.py    -> en-fr-3/result.tar.gz
python -m training unpack en-fr-mixed result.tar.gz  -> the run folder
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from service.bundle.manifest import WEIGHTS
from training.corpora import BOOKS, CORPORA, CorpusError
from training.corpora.corpus import data_folder
from training.corpora.download import read_book, read_table, read_unlabelled
from training.corpora.own_files import own_file
from training.recipe import AnyRecipe, ClassificationRecipe, TranslationRecipe, recipe_hash
from training.run import RunError, identity_parts, run_folder
from training.start import stored_bundle

PACKAGES = ("training", "service")
KEPT = {".py", ".toml", ".tsv"}
NEEDED = ("torch", "lightning", "torchmetrics", "tokenizers", "safetensors", "pydantic", "numpy", "rich")
RESULT = ("tokenizer.json", "task.json", "best.ckpt")
"""Files of a run in the result."""

SCRIPT = '''"""Trains the recipe of this folder and writes result.tar.gz. A restart resumes after the last epoch."""

import importlib.util
import os
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
if missing := [name for name in {needed!r} if importlib.util.find_spec(name) is None]:
    sys.exit("install first: pip install " + " ".join(missing))
os.environ |= {{f"LIMELIGHT_{{name.upper()}}": str(HERE / name) for name in ("data", "models", "runs")}}
os.chdir(HERE)
sys.path.insert(0, str(HERE))

from training.fit import fit
from training.recipe import load_recipe

folder = fit(load_recipe("recipe.toml"))
with tarfile.open(HERE / "result.tar.gz", "w:gz") as archive:
    for name in {result!r}:
        archive.add(folder / name, name)
print("wrote", HERE / "result.tar.gz")
'''


def data_files(recipe: AnyRecipe) -> Iterator[str]:
    """Yield the files that training reads, relative to the data folder. Missing ones are downloaded if possible.

    Raises CorpusError if a file is missing.
    """
    measured = recipe.data.measured if isinstance(recipe, TranslationRecipe) else []
    for name in dict.fromkeys([*recipe.data.corpora, *measured]):
        if (corpus := CORPORA.get(name)) is not None:
            for split in corpus.files:
                read_table(corpus, split)
            read_unlabelled(corpus)
            files = [file for split in corpus.files.values() for file in split]
            yield from (f"{corpus.folder}/{file.name}" for file in [*files, *filter(None, [corpus.unlabelled])])
        elif (book := BOOKS.get(name)) is not None:
            read_book(book)
            yield book.file
        else:
            own_file(name)
            yield name
    if isinstance(recipe, ClassificationRecipe) and recipe.vectors is not None and recipe.vectors.file is not None:
        yield recipe.vectors.file


def contents(recipe: AnyRecipe) -> Iterator[tuple[str, Path]]:
    """Yield the name of each file in the archive, and its path. Raises CorpusError or StartError."""
    root = Path(__file__).parent.parent
    for package in PACKAGES:
        yield from ((str(p.relative_to(root)), p) for p in sorted((root / package).rglob("*")) if p.suffix in KEPT)
    for name in data_files(recipe):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CorpusError(f"{name} is outside the data folder: name it by a path within {data_folder()}")
        path = data_folder() / name
        yield f"data/{name}", path if path.is_file() else Path(name)
    if recipe.warm_start is not None:
        bundle = stored_bundle(recipe.warm_start)
        inner = f"models/{bundle.parent.name}/{bundle.name}"
        yield from ((f"{inner}/{file}", bundle / file) for file in (WEIGHTS, "tokenizer.json"))


def pack(recipe: AnyRecipe, into: Path) -> Path:
    """Write the archive of a recipe and return its path. Raises CorpusError or StartError if a file is missing."""
    name = f"{recipe.name}-{recipe.version}"
    path = into / f"{name}.tar.gz"
    written = {
        "recipe.toml": toml(recipe.model_dump(mode="json", exclude_none=True)),
        "train.py": SCRIPT.format(needed=NEEDED, result=RESULT),
    }
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in written.items():
            content = text.encode()
            entry = tarfile.TarInfo(f"{name}/{inner}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for inner, file in contents(recipe):
            archive.add(file, f"{name}/{inner}")
    return path


def toml(content: dict[str, object], section: str = "") -> str:
    """Return a recipe as TOML. Values are strings, numbers, booleans, lists of these, and tables.

    >>> print(toml({"a": 1, "b": {"c-d": ["é"], "e": {"f": True}}}), end="")
    "a" = 1
    ["b"]
    "c-d" = ["é"]
    ["b"."e"]
    "f" = true
    """
    lines = [
        f"{json.dumps(k)} = {json.dumps(v, ensure_ascii=False)}" for k, v in content.items() if type(v) is not dict
    ]
    text = "".join(line + "\n" for line in lines)
    for key, value in content.items():
        if isinstance(value, dict):
            inner = f"{section}.{json.dumps(key)}" if section else json.dumps(key)
            text += f"[{inner}]\n" + toml(value, inner)
    return text


def unpack(recipe: AnyRecipe, archive: Path) -> Path:
    """Write the run folder from the result of a packed training, and return it.

    Raises RunError if the result is of another recipe or of other data, or if the recipe has a run already.
    """
    folder = run_folder(recipe)
    if folder.exists():
        raise RunError(f"{folder} holds a run already: delete it, or set LIMELIGHT_RUNS")
    try:
        with tarfile.open(archive) as packed:
            files = {name: read_member(packed, name) for name in RESULT}
    except (OSError, tarfile.TarError, KeyError) as error:
        raise RunError(f"{archive} is not the result of a packed training: {error}") from None
    journal = json.loads(files["task.json"])
    if journal.get("recipe_hash") != recipe_hash(recipe):
        raise RunError(f"{archive} was trained with another recipe than {recipe.name}, version {recipe.version}")
    if "identity" in journal and journal["identity"]["data"] != identity_parts(recipe)["data"]:
        raise RunError(f"{archive} was trained on other data than that of {recipe.name}")
    staged = folder.with_name(f".{folder.name}-{os.getpid()}")
    staged.mkdir(parents=True)
    for name, content in files.items():
        (staged / name).write_bytes(content)
    staged.rename(folder)
    return folder


def read_member(packed: tarfile.TarFile, name: str) -> bytes:
    """Return the content of a file in an archive. Raises KeyError if there is no such file."""
    file = packed.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()
