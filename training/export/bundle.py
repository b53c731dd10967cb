"""Write a run's network as a bundle: graphs, weights, tokenizer, golden cases, manifest, card."""

import shutil
import tempfile
from pathlib import Path

from service.bundle.files import find_bundles, read_manifest, sha256_of, write_bundle
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
from training.corpora.own_data import is_own
from training.export import Content, classification, generation, translation
from training.graphs.surgery import ATTENTION_OPSET
from training.graphs.trace import round_to_float16
from training.recipe import AnyRecipe, recipe_hash
from training.run import load_best, read_journal, run_folder, run_identity, training_minutes
from training.start import stored_bundle
from training.tasks import AnyTask, ClassificationTask, GenerationTask


def export(recipe: AnyRecipe, models: Path, replace: bool = False) -> Path:
    """Write models/<name>/<version>/ from the run's best weights, and return it.

    A bundle of the same run is replaced. A bundle of another run is kept, and the export takes the next version,
    unless `replace` allows to overwrite it (`version_for`). Raises RunError if there is no run, and ParityError if the
    graphs differ from the network. Nothing is written then.
    """
    task = load_best(recipe)
    round_to_float16(task.network)
    recipe = recipe.model_copy(update={"version": version_for(recipe, models, replace)})
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


def exported_version(recipe: AnyRecipe, models: Path) -> int | None:
    """The version of a recipe's name that its run was exported to, or None. Raises CorpusError."""
    run = run_identity(recipe)
    found = find_bundles(models).get(recipe.name, {})
    return max((v for v, folder in found.items() if read_manifest(folder).training.run == run), default=None)


def version_for(recipe: AnyRecipe, models: Path, replace: bool) -> int:
    """The version of a new export. The first that applies:

    the version in the recipe, if it is free, or if `replace` is set; the version of an earlier export of the run; with
    `replace`, the highest existing version; the highest existing version plus one.
    """
    existing = find_bundles(models).get(recipe.name, {}).keys()
    given = recipe.version if "version" in recipe.model_fields_set else None
    if given is not None and (replace or given not in existing):
        return given
    if (own := exported_version(recipe, models)) is not None:
        return own
    return max(existing, default=0) + (0 if replace and existing else 1)


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
    run = read_journal(run_folder(recipe))
    names = [*(graph.file for graph in content.graphs), WEIGHTS, "tokenizer.json", GOLDEN]
    training = Training(
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe_hash(recipe),
        seed=recipe.seed,
        minutes=training_minutes(recipe),
        hardware=run["hardware"],
        run=run_identity(recipe),
    )
    fields = {
        "format_version": FORMAT_VERSION,
        "name": recipe.name,
        "version": recipe.version,
        "task": recipe.task,
        "description": recipe.description,
        "default": recipe.default,
        "architecture": content.described.architecture,
        "graphs": content.graphs,
        "weights": "float16",
        "attention": content.described.attention,
        "training": training,
        "data": data_sources(recipe),
        "opset": ATTENTION_OPSET,
        "files": {name: sha256_of(folder / name) for name in names},
    }
    return parse_manifest({**fields, **content.fields})


def data_sources(recipe: AnyRecipe) -> list[DataSource]:
    """Sources of a recipe's data, and of the data of the bundle that a model of the user's data started from."""
    sources = [data_source(corpus) for corpus in dict.fromkeys(recipe.data.corpora)]
    if recipe.warm_start is not None and is_own(recipe):
        sources += [old for old in read_manifest(stored_bundle(recipe.warm_start)).data if old not in sources]
    return sources


def data_source(corpus: str) -> DataSource:
    """Origin and licence of a corpus."""
    if (known := CORPORA.get(corpus) or BOOKS.get(corpus)) is not None:
        return DataSource(name=corpus, origin=known.origin, licence=known.licence)
    return DataSource(name=Path(corpus).name, origin="the user's own file", licence="not stated")
