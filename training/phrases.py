"""Phrases of our own, with negations and few words: a section in a classifier's card. They are in no corpus."""

from pathlib import Path

from training.card import table
from training.corpora import LabelledText

PHRASES = Path(__file__).parent / "phrases"
"""Files `<model>.tsv` with lines of a label and a phrase."""


def read_phrases(model: str) -> list[LabelledText]:
    """Phrases for a model; none for most."""
    path = PHRASES / f"{model}.tsv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [LabelledText(*line.split("\t")) for line in lines]


def phrase_section(phrases: list[LabelledText], answers: list[tuple[str, float]]) -> str:
    """The section of a card: each phrase with its label, and the model's label and probability."""
    right = sum(phrase.label == label for phrase, (label, _) in zip(phrases, answers, strict=True))
    rows = [
        [phrase.text, phrase.label, f"{label} ({score:.0%})", "" if label == phrase.label else "wrong"]
        for phrase, (label, score) in zip(phrases, answers, strict=True)
    ]
    return f"""## Negation and short texts

{right} of {len(phrases)} phrases of our own are answered right. They are in no corpus, and shorter than most
training texts.

{table(["phrase", "label", "answer", ""], rows)}
"""
