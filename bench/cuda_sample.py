"""Validation data of `bench.cuda`: a few hundred rows, from a file or from the corpora."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

PAIRS, TEXTS = 200, 200
CLASSIFIERS = ("sms-spam", "imdb", "nsmc")


@dataclass(frozen=True)
class Sample:
    pairs: list[tuple[str, str]]
    """English captions with a French translation."""
    labelled: dict[str, list[tuple[str, str]]]
    """Classifier -> labels with texts."""

    def of(self, rows: int) -> "Sample":
        """The first rows of each data set."""
        return Sample(self.pairs[:rows], {name: labelled[:rows] for name, labelled in self.labelled.items()})


def read_sample(file: Path | None) -> Sample:
    """Read a sample from a file, or take it from the corpora (LIMELIGHT_DATA), which needs the package training."""
    if file is not None:
        return Sample(**json.loads(file.read_text(encoding="utf-8")))
    from training.corpora import labelled_texts, sentence_pairs
    from training.recipe import ClassificationRecipe, TranslationData, load_recipe

    data = TranslationData(corpora=["multi30k"], source="en", target="fr")
    pairs = [(pair.source, pair.target) for pair in sentence_pairs("multi30k", "valid", data)[:PAIRS]]
    labelled = {}
    for name in CLASSIFIERS:
        recipe = load_recipe(name)
        assert isinstance(recipe, ClassificationRecipe)
        labelled[name] = [(row.label, row.text) for row in labelled_texts(recipe.data, "valid")[:TEXTS]]
    return Sample(pairs, labelled)


def write_sample(sample: Sample, file: Path) -> None:
    file.write_text(json.dumps(asdict(sample), ensure_ascii=False), encoding="utf-8")
