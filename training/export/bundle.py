"""Write a run's network as a bundle: graphs, weights, tokenizer, golden cases, manifest, card."""

import json
import shutil
import tempfile
from pathlib import Path

from service.bundle.files import sha256_of, write_bundle
from service.bundle.golden import write_golden
from service.bundle.manifest import (
    CARD,
    FORMAT_VERSION,
    GOLDEN,
    WEIGHTS,
    AnyManifest,
    DataSource,
    Training,
    parse_manifest,
)
from training.card import model_card
from training.corpora import BOOKS, CORPORA
from training.export import Content, classification, generation, translation
from training.fit import load_best, run_folder, training_minutes
from training.graphs.surgery import ATTENTION_OPSET
from training.graphs.trace import round_to_float16
from training.recipe import AnyRecipe, recipe_hash
from training.tasks import AnyTask, ClassificationTask, GenerationTask


def export(recipe: AnyRecipe, models: Path) -> Path:
    """Write models/<name>/<version>/ from the run's best weights, and replace an older export of that version.

    Raises RunError if there is no run, and ParityError if the graphs differ from the network. Nothing is written then.
    """
    task = load_best(recipe)
    round_to_float16(task.network)
    folder = models / recipe.name / str(recipe.version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".export-"))
    try:
        manifest = stage(recipe, task, staged)
        write_bundle(folder, staged, manifest)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return folder


def stage(recipe: AnyRecipe, task: AnyTask, folder: Path) -> AnyManifest:
    """Write all files of a bundle except its manifest, check them, and return the manifest."""
    content = write_content(task, folder)
    write_golden(folder, content.golden)
    manifest = new_manifest(recipe, content, folder)
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
    return manifest


def write_content(task: AnyTask, folder: Path) -> Content:
    """Write the task's part of the bundle."""
    if isinstance(task, ClassificationTask):
        return classification.write(task, folder)
    if isinstance(task, GenerationTask):
        return generation.write(task, folder)
    return translation.write(task, folder)


def new_manifest(recipe: AnyRecipe, content: Content, folder: Path) -> AnyManifest:
    """The manifest of the files in a folder, without metrics."""
    run = json.loads((run_folder(recipe) / "task.json").read_text())
    names = [*(graph.file for graph in content.graphs), WEIGHTS, "tokenizer.json", GOLDEN]
    training = Training(
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe_hash(recipe),
        seed=recipe.seed,
        minutes=training_minutes(recipe),
        hardware=run["hardware"],
    )
    fields = {
        "format_version": FORMAT_VERSION,
        "name": recipe.name,
        "version": recipe.version,
        "task": recipe.task,
        "description": recipe.description,
        "architecture": content.described.architecture,
        "graphs": content.graphs,
        "weights": "float16",
        "attention": content.described.attention,
        "training": training,
        "data": [data_source(corpus) for corpus in dict.fromkeys(recipe.data.corpora)],
        "opset": ATTENTION_OPSET,
        "files": {name: sha256_of(folder / name) for name in names},
    }
    return parse_manifest({**fields, **content.fields})


def data_source(corpus: str) -> DataSource:
    """Origin and licence of a corpus."""
    if (known := CORPORA.get(corpus) or BOOKS.get(corpus)) is not None:
        return DataSource(name=corpus, origin=known.origin, licence=known.licence)
    return DataSource(name=Path(corpus).name, origin="the user's own file", licence="not stated")
