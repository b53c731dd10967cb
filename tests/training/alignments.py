"""A part of the manual alignments, for small networks: each token of a pair is a step of the decoder."""

from pathlib import Path

from training.alignment import ALIGNMENTS


def few_alignments(folder: Path, pairs: int = 3) -> Path:
    """Write the first pairs of each file of alignments to a new folder, and return it."""
    few = folder / "alignments"
    few.mkdir()
    for path in ALIGNMENTS.glob("*.tsv"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (few / path.name).write_text("".join(lines[: 1 + pairs]), encoding="utf-8")
    return few
