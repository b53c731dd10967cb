"""Before and after training on the user's data: a bundle and the model that started from it, on new and old data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.bundle.files import read_manifest
from service.bundle.manifest import ClassificationManifest, Manifest, Metric, TranslationManifest
from training.corpora import CORPORA, LabelledText, SentencePair, Split, is_present, labelled_texts, sentence_pairs
from training.corpora.own_data import is_own
from training.corpora.reading import held_out
from training.recipe import ClassificationRecipe, TranslationRecipe
from training.start import recipe_of, stored_bundle

StartedRecipe = ClassificationRecipe | TranslationRecipe
Rows = list[LabelledText] | list[SentencePair]

MOST = {"classification": 1_000, "translation": 500}
"""Maximum number of rows of each corpus."""

TOLERATED = {"balanced accuracy": 0.01, "BLEU": 1.0}
"""Loss on old data above which remedies are named."""


@dataclass(frozen=True)
class Change:
    """A metric of one corpus, before and after."""

    metric: str
    data: str
    old: bool
    """True for a corpus that the start was trained on."""
    before: float
    after: float

    def metrics(self, start: str) -> list[Metric]:
        """Both values, for the table of metrics."""
        values = {f"{self.metric} before": self.before, f"{self.metric} after": self.after}
        return [
            Metric(name=name, value=value, data=self.data, detail=f"from {start}") for name, value in values.items()
        ]

    def sentence(self) -> str:
        """One line of the verdict."""
        kind = "old" if self.old else "new"
        return f"{kind} data: {self.metric} {self.before:.4g} before, {self.after:.4g} after ({self.data})"


def start_of(recipe: StartedRecipe, result: Manifest) -> ClassificationManifest | TranslationManifest | None:
    """The bundle that training on the user's data started from, if it has the labels or languages of the result."""
    if recipe.warm_start is None or not is_own(recipe):
        return None
    start = read_manifest(stored_bundle(recipe.warm_start))
    if isinstance(start, ClassificationManifest) and isinstance(result, ClassificationManifest):
        return start if start.labels == result.labels else None
    if isinstance(start, TranslationManifest) and isinstance(result, TranslationManifest):
        return start if (start.source, start.target) == (result.source, result.target) else None
    return None


def changes(
    recipe: StartedRecipe, start: Manifest, split: Split, measure: Callable[[Rows, str], tuple[Metric, Metric]]
) -> list[Change]:
    """Measure the new corpora and the old ones that are in the data folder.

    measure: rows and their description -> the metric before and after.
    """
    theirs = recipe_of(start, type(recipe))
    old = [source.name for source in start.data if source.name in CORPORA and is_present(CORPORA[source.name])]
    found = []
    for corpus, trained, known in [(name, recipe, False) for name in recipe.data.corpora] + [
        (name, theirs, True) for name in old
    ]:
        rows = sample(trained, corpus, split)
        data = f"{Path(corpus).name} {split}, {len(rows)} rows"
        before, after = measure(rows, data)
        found.append(Change(before.name, data, known, before.value, after.value))
    return found


def sample(recipe: StartedRecipe, corpus: str, split: Split) -> Rows:
    """At most MOST rows of a split, selected by their hashes."""
    if isinstance(recipe, ClassificationRecipe):
        texts = labelled_texts(recipe.data.model_copy(update={"corpora": [corpus]}), split)
        return sorted(texts, key=lambda row: held_out([row.text]))[: MOST[recipe.task]]
    pairs = sentence_pairs(corpus, split, recipe.data)
    return sorted(pairs, key=lambda pair: held_out([pair.source]))[: MOST[recipe.task]]


def described(start: Manifest, found: list[Change]) -> str:
    """Sentences about the changes, for the user and the card."""
    name = f"{start.name}/{start.version}"
    lines = [change.sentence() for change in found]
    public = [source.name for source in start.data if source.name in CORPORA]
    if missing := [name for name in public if not is_present(CORPORA[name])]:
        lines.append(
            f"{', '.join(missing)}: this data of {name} is not in the data folder (LIMELIGHT_DATA). None of it was "
            "mixed in, and forgetting is not measured on it."
        )
    if any(change.old and change.before - change.after > TOLERATED[change.metric] for change in found):
        lines.append(f"The model forgot some of what {name} knows: fewer epochs forget less, or serve both models.")
    return f"Training started from {name}:\n\n" + "\n".join(f"- {line}" for line in lines)
