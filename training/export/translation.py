"""Export of translators: float32 graphs, and int8 graphs if they give the same golden answers."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from service.bundle.conventions import STAND_INS, max_target_length
from service.bundle.manifest import Graph, SpecialIds, TranslationLimits
from training.export import Content, golden, quantization
from training.export.golden import GreedyTranslation
from training.graphs import Description, seq2seq, transformer
from training.graphs.trace import write_graphs
from training.networks.seq2seq import Seq2Seq
from training.networks.transformer import Transformer
from training.output_vocabulary import output_vocabulary
from training.tasks import TranslationTask
from training.tokenization import BOS, EOS, PAD, UNK, special_id

MAX_BEAM_SIZE = 16


def describe(task: TranslationTask) -> Description:
    """Describe the graphs of a task's network."""
    if isinstance(task.network, Seq2Seq):
        return seq2seq.describe(task.network, task.eos_id)
    longest = max_target_length(task.recipe.limits.max_tokens)
    return transformer.describe(task.network, task.eos_id, task.recipe.summary_layer, longest)


def write(task: TranslationTask, folder: Path) -> Content:
    """Write graphs and tokenizer. Raises ParityError."""
    restrict_output(task)
    described = describe(task)
    write_graphs(task.network, described, folder)
    save_source_tokenizer(task.tokenizer, folder / "tokenizer.json")
    ids = {name: special_id(task.tokenizer, name) for name in (PAD, UNK, BOS, EOS)}
    copies = task.recipe.data.hidden > 0 and any(output.summary for output in described.attention)
    never = [ids[PAD], ids[BOS], *([] if copies else [ids[UNK]])]
    golden_never = [ids[PAD], ids[BOS], ids[UNK]]  # PyTorch's answers copy no unknown symbols
    translations = [golden.translate(task, text, golden_never) for text in task.recipe.examples]
    limits = TranslationLimits(
        max_tokens=task.recipe.limits.max_tokens,
        max_target_tokens=max_target_length(task.recipe.limits.max_tokens),
        max_beam_size=MAX_BEAM_SIZE,
    )
    return Content(
        described,
        [*described.graphs, *int8_graphs(task, described, translations, golden_never, folder)],
        golden.translation(task, translations),
        {
            "source": task.recipe.data.source,
            "target": task.recipe.data.target,
            "tokenizers": {"source": "tokenizer.json", "target": "tokenizer.json"},
            "special_ids": SpecialIds(bos=ids[BOS], eos=ids[EOS], never=never, unknown=ids[UNK] if copies else None),
            "limits": limits,
            "stand_ins": list(STAND_INS[: task.recipe.tokenizer.stand_ins]),
        },
    )


def restrict_output(task: TranslationTask) -> None:
    """Give a Transformer the output vocabulary of its training pairs."""
    if isinstance(task.network, Transformer):
        ids = output_vocabulary(task.recipe, task.tokenizer)
        task.network.output_ids = None if ids is None else torch.tensor(ids)
        if ids is not None:
            print(f"{task.recipe.name}: the output layer knows {len(ids)} of {task.network.vocabulary} tokens")


def int8_graphs(
    task: TranslationTask, described: Description, expected: list[GreedyTranslation], never: list[int], folder: Path
) -> list[Graph]:
    """Write the int8 graphs and keep them if they give the expected translations."""
    graphs = quantization.write_int8(described.graphs, folder, quantization.calibration_pairs(task))
    if all(quantization.equals(folder, described, graphs, translation, never) for translation in expected):
        return graphs
    print(f"{task.recipe.name}: the int8 graphs translate the examples differently; the bundle has float32 only")
    for graph in graphs:
        (folder / graph.file).unlink()
    return []


def save_source_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Save the tokenizer with </s> appended to every source text, as in training."""
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    tokenizer.save(str(path), pretty=False)
