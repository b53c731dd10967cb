"""The run folder of a recipe, and the identity of a run: its recipe, data, columns and code.

runs/<name>/<identity>/  tokenizer.json | task.json | last.ckpt | best.ckpt
"""

import ast
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from training.corpora import BOOKS, CORPORA
from training.corpora.own_files import own_file
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, recipe_hash
from training.tasks import AnyTask, ClassificationTask, GenerationTask, TranslationTask, new_task

CODE = {
    "classification": ("tasks/classification.py", "networks/classifier.py", "networks/attention.py", "pretraining.py"),
    "translation": ("tasks/translation.py", "losses.py", "corpora/augmentation.py", "corpora/mixing.py"),
    "generation": ("tasks/generation.py", "networks/language.py"),
}
"""Files of a task's code, besides those of all tasks and of the network."""


class RunError(RuntimeError):
    """The run folder cannot be used. The message gives the reason and the remedy."""


def content_hash(corpus: str) -> str:
    """sha256 of a corpus: from the catalogue, or of the content of the user's file. Raises CorpusError."""
    if (known := CORPORA.get(corpus)) is not None:
        return " ".join(file.sha256 for files in known.files.values() for file in files)
    if (book := BOOKS.get(corpus)) is not None:
        return book.sha256
    path, found = own_file(corpus), hashlib.sha256()
    for file in sorted(path.rglob("*.arrow")) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    return found.hexdigest()


def code_hash(recipe: AnyRecipe) -> str:
    """sha256 of the code that trains a recipe. Comments, docstrings and layout do not count."""
    folder = Path(__file__).parent
    network = {"seq2seq": "networks/seq2seq.py", "transformer": "networks/transformer.py"}.get(recipe.network.network)
    files = ["tasks/task.py", "batching.py", "tokenization.py", "networks/recurrent.py", *CODE[recipe.task]]
    found = hashlib.sha256()
    for name in [*files, *([network] if network else [])]:
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [line for line in body if not is_text(line)]  # type: ignore[attr-defined]
        found.update(ast.dump(tree).encode())
    return found.hexdigest()


def is_text(node: ast.AST) -> bool:
    """True for a docstring or another string without effect."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def identity_parts(recipe: AnyRecipe) -> dict[str, str]:
    """Hash of each part of a run's identity. The paths of files are no part. Raises CorpusError."""
    data: Any = recipe.data
    plain = recipe.model_copy(update={"data": data.model_copy(update={"corpora": []})})
    contents = " ".join(content_hash(corpus) for corpus in data.corpora)
    parts = {"data": contents, "columns": ",".join(getattr(data, "columns", ())), "recipe": recipe_hash(plain)}
    return {
        **{name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()},
        "code": code_hash(recipe),
    }


def run_identity(recipe: AnyRecipe) -> str:
    """The identity of a recipe's run: 12 hexadecimal digits. Raises CorpusError."""
    return hashlib.sha256(json.dumps(identity_parts(recipe)).encode()).hexdigest()[:12]


def run_folder(recipe: AnyRecipe) -> Path:
    """Folder of a recipe's run, in LIMELIGHT_RUNS or `runs`. Raises CorpusError."""
    return Path(os.environ.get("LIMELIGHT_RUNS", "runs")) / recipe.name / run_identity(recipe)


def read_journal(folder: Path) -> dict[str, Any]:
    """Read task.json of a run folder."""
    journal: dict[str, Any] = json.loads((folder / "task.json").read_text())
    return journal


def latest_run(recipe: AnyRecipe) -> Path | None:
    """The latest run folder of a recipe's name, with any identity."""
    runs = list(run_folder(recipe).parent.glob("*/task.json"))
    return max(runs, key=lambda path: path.stat().st_mtime).parent if runs else None


def changes_since(recipe: AnyRecipe, folder: Path) -> str:
    """What differs between a recipe and the run in a folder, such as `data and recipe`."""
    old, new = read_journal(folder).get("identity", {}), identity_parts(recipe)
    return " and ".join(name for name in new if old.get(name) != new[name]) or "nothing"


def open_task(recipe: AnyRecipe) -> AnyTask:
    """The task of a run with its tokenizer and labels, and with random weights. Raises RunError."""
    folder = run_folder(recipe)
    if not (folder / "task.json").is_file():
        other = latest_run(recipe)
        reason = f" ({other} has another version: changed are {changes_since(recipe, other)})" if other else ""
        raise RunError(f"{recipe.name} has no run of this recipe and data; fit it first{reason}")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if isinstance(recipe, ClassificationRecipe):
        return ClassificationTask(recipe, read_journal(folder)["labels"], tokenizer)
    if isinstance(recipe, GenerationRecipe):
        return GenerationTask(recipe, tokenizer)
    return TranslationTask(recipe, tokenizer)


def prepare_run(recipe: AnyRecipe) -> AnyTask:
    """Open the run folder, or create it with a new tokenizer. Print the changes since the last run."""
    folder, other = run_folder(recipe), latest_run(recipe)
    if (folder / "task.json").is_file():
        return open_task(recipe)
    if other is not None:
        print(f"changed since the last run of {recipe.name}: {changes_since(recipe, other)}; this is a new run")
    task = new_task(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    task.tokenizer.save(str(folder / "tokenizer.json"))
    journal = {
        "recipe_hash": recipe_hash(recipe),
        "identity": identity_parts(recipe),
        "labels": task.labels if isinstance(task, ClassificationTask) else None,
        "minutes": 0.0,
        "epochs": [],
        "hardware": hardware(),
    }
    (folder / "task.json").write_text(json.dumps(journal))
    return task


def load_best(recipe: AnyRecipe) -> AnyTask:
    """The task of a run with its best weights. Raises RunError."""
    task = open_task(recipe)
    path = run_folder(recipe) / "best.ckpt"
    if not path.is_file():
        raise RunError(f"{path} is missing; fit {recipe.name} for at least one epoch")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict(state)
    return task.eval()


def training_minutes(recipe: AnyRecipe) -> float:
    """Training time of the run, pre-training included."""
    folder = run_folder(recipe)
    journals = [path.parent for path in (folder / "task.json", folder / "pretraining" / "task.json") if path.is_file()]
    return round(sum(read_journal(path)["minutes"] for path in journals), 2)


def hardware() -> str:
    """Name of the processor or GPU, for the card."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{threads} CPU core{'s' if threads > 1 else ''}"
