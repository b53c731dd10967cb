"""`python -m bench.training`: training speed of recipes, one of them compared with a tutorial's loop.

Rates count source and target tokens without padding. Both loops train on the same texts, truncated at the limit of the
recipe.
"""

import json
import os
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.recipe import RECIPES, ClassificationRecipe, TranslationRecipe, load_recipe
from training.tasks import ClassificationTask, Task, new_task

RECIPE = "imdb-bahdanau"
TEXTS = 2000
PAIRS = 6000
ROUNDS = 3
BATCH = 32
"""Default batch size of Keras."""


class TutorialClassifier(nn.Module):
    """Embedding 128 -> two BiLSTM(64) layers -> additive attention, query: last states -> dense 20 -> sigmoid.

    Processes padding like text, as tutorials do.
    """

    def __init__(self, vocabulary: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 128)
        self.lstm = nn.LSTM(128, 64, num_layers=2, bidirectional=True, batch_first=True, dropout=0.5)
        self.w1, self.w2, self.v = nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 1)
        self.dense, self.output = nn.Linear(128, 20), nn.Linear(20, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids: Tensor) -> Tensor:
        states, (last, _) = self.lstm(self.embedding(ids))
        query = torch.cat([last[-2], last[-1]], dim=1)[:, None]
        weights = self.v(torch.tanh(self.w1(states) + self.w2(query))).softmax(dim=1)
        pooled = (weights * states).sum(dim=1)
        return torch.sigmoid(self.output(self.dropout(F.relu(self.dense(pooled)))))[:, 0]


def tutorial_epoch(examples: list[tuple[list[int], int]], vocabulary: int, limit: int) -> Iterator[None]:
    """Train in float32 on batches of 32 texts, each padded to the limit."""
    network = TutorialClassifier(vocabulary)
    optimiser = torch.optim.Adam(network.parameters())
    ids = torch.zeros(len(examples), limit, dtype=torch.long)
    for row, (example, _) in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example)
    labels = torch.tensor([float(label) for _, label in examples])
    for places in torch.randperm(len(examples)).split(BATCH):
        optimiser.zero_grad()
        F.binary_cross_entropy(network(ids[places]), labels[places]).backward()
        optimiser.step()
        yield


def our_epoch(task: Task) -> Iterator[None]:
    """Train with the recipe's batches, loss and precision, as `fit` does."""
    optimiser = torch.optim.AdamW(task.parameters())
    bfloat16 = task.optimisation.precision == "bfloat16"
    for index, batch in enumerate(task.loader("train", seed=1)):
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = task.training_step(batch, index)
        loss.backward()
        optimiser.step()
        yield


def seconds(epoch: Iterator[None]) -> float:
    """Duration of an epoch without its first batch, which is the warm-up."""
    next(epoch)
    since = time.perf_counter()
    for _ in epoch:
        pass
    return time.perf_counter() - since


def translators() -> dict[str, int]:
    """Tokens per second of each translation recipe with a bundle in models/."""
    rates = {}
    for name in sorted(path.name for path in Path("models").iterdir() if (RECIPES / f"{path.name}.toml").is_file()):
        recipe = load_recipe(name)
        if isinstance(recipe, TranslationRecipe):
            task = new_task(recipe)
            task.load("train")
            task.train()
            task.examples["train"] = task.examples["train"][-PAIRS:]
            tokens = sum(len(source) + len(target) + 1 for source, target in task.examples["train"])
            rates[name] = round(tokens / seconds(our_epoch(task)))
    return rates


def main() -> None:
    warnings.filterwarnings("ignore", message=".*self.log")  # no trainer is attached
    recipe = load_recipe(RECIPE)
    assert isinstance(recipe, ClassificationRecipe)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"rows": TEXTS})})
    task = new_task(recipe)
    assert isinstance(task, ClassificationTask)
    task.load("train")
    task.train()
    examples, limit = task.examples["train"], recipe.limits.max_tokens
    tokens = sum(len(ids) for ids, _ in examples)
    rates: dict[str, list[float]] = {"limelight": [], "tutorial": []}
    for _ in range(ROUNDS):
        rates["limelight"].append(tokens / seconds(our_epoch(task)))
        rates["tutorial"].append(tokens / seconds(tutorial_epoch(examples, task.tokenizer.get_vocab_size(), limit)))
    medians = {name: round(statistics.median(found)) for name, found in rates.items()}
    ratio = medians["limelight"] / medians["tutorial"]
    print(
        f"{RECIPE}: {TEXTS} texts, {tokens / len(examples):.0f} tokens each (at most {limit}), {os.cpu_count()} cores\n"
    )
    for name, rate in medians.items():
        print(f"{name:<12}{rate:>10,} tokens/s")
    print(f"\n{ratio:.2f} times the speed of the tutorial's loop\n")
    others = translators()
    for name, rate in others.items():
        print(f"{name:<20}{rate:>10,} tokens/s")
    results = {"recipe": RECIPE, "tokens_per_s": medians, "ratio": round(ratio, 2), "translators": others}
    print(json.dumps({**results, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
