"""Export of language models."""

from pathlib import Path

from service.bundle.manifest import GenerationLimits, SpecialIds
from training.export import Content, golden
from training.graphs import language
from training.graphs.trace import write_graphs
from training.tasks import GenerationTask
from training.tokenization import BOS, EOS, PAD, UNK, special_id

MAX_TARGET_TOKENS = 4096
"""Maximum tokens of a continuation. The network itself has no limit."""


def write(task: GenerationTask, folder: Path) -> Content:
    """Write graph and tokenizer. Raises ParityError."""
    described = language.describe(task.network, task.eos_id, task.recipe.summary_layer)
    write_graphs(task.network, described, folder)
    task.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    ids = {name: special_id(task.tokenizer, name) for name in (PAD, UNK, BOS, EOS)}
    never = [ids[PAD], ids[UNK], ids[BOS]]
    return Content(
        described,
        described.graphs,
        golden.generation(task, never),
        {
            "tokenizers": {"text": "tokenizer.json"},
            "special_ids": SpecialIds(bos=ids[BOS], eos=ids[EOS], never=never),
            "limits": GenerationLimits(max_tokens=task.recipe.limits.max_tokens, max_target_tokens=MAX_TARGET_TOKENS),
        },
    )
