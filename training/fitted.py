"""Settings that follow from the amount of data: where a classifier starts, batches, epochs, warm-up and average."""

import math
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer

from service.bundle.files import read_manifest
from service.bundle.manifest import ClassificationManifest
from training.corpora import CORPORA, is_present, labelled_texts
from training.recipe import ClassificationRecipe, Optimisation, TokenizerRecipe
from training.start import public_bundles, recipe_of, stored_bundle
from training.tokenization import UNK, special_id, train_tokenizer

FEW_ROWS = 5_000
"""Below this number of training texts, a network that knows the language is a better start than word vectors of the
texts. Above 2,000 the difference depends on the texts."""

MOST_CHARACTERS = 2_000
"""Maximum number of characters in a tokenizer that follows from the data."""

REPLAY = 1.0
"""Number of training rows of the start per row of the user, if both have the same labels."""

SAMPLE = 500
"""Number of texts that a tokenizer is compared on."""


def fitted(
    recipe: ClassificationRecipe, fixed: set[str], candidates: list[str] | None = None, fixed_tokenizer: bool = False
) -> ClassificationRecipe:
    """Return the recipe with the settings for its amount of data. Raises CorpusError.

    fixed: keys of [optimisation] that keep their values. candidates: bundles that training may start from if one fits
    the texts; by default all in `models/` if there are few rows. A recipe with a start of its own keeps it.
    fixed_tokenizer: keep the settings of the tokenizer; otherwise its alphabet follows from the texts.
    """
    rows = labelled_texts(recipe.data, "train")
    texts = [row.text for row in rows]
    if candidates is None:
        candidates = list(public_bundles(ClassificationManifest)) if len(rows) < FEW_ROWS else []
    if recipe.warm_start is None and recipe.pretraining is None:
        start = best_start(texts[:SAMPLE], recipe, candidates)
        recipe = started(recipe, start) if start is not None else recipe
    if recipe.warm_start is not None:
        tokenizer = tokenizer_of(recipe.warm_start)
        recipe = with_replay(recipe, sorted({row.label for row in rows}), len(rows))
        texts += [row.text for row in labelled_texts(recipe.data.replay, "train")] if recipe.data.replay else []
    else:
        recipe = recipe if fixed_tokenizer else recipe.model_copy(update={"tokenizer": tokenizer_for(recipe, texts)})
        tokenizer = train_tokenizer(texts, recipe.tokenizer)
    lengths = [min(len(e.ids), recipe.limits.max_tokens) for e in tokenizer.encode_batch(texts)]
    schedule = schedule_for(len(texts), sum(lengths) / len(texts), max(lengths), recipe.warm_start is not None)
    changes = {key: value for key, value in schedule.items() if key not in fixed}
    optimisation = Optimisation.model_validate(recipe.optimisation.model_dump(exclude_unset=True) | changes)
    return recipe.model_copy(update={"optimisation": optimisation})


def tokenizer_for(recipe: ClassificationRecipe, texts: list[str]) -> TokenizerRecipe:
    """The recipe's tokenizer in lower case, with an alphabet of all characters that occur twice or more."""
    counts = Counter(character for text in texts for character in text.lower())
    common = sum(count > 1 for count in counts.values())
    update = {"lowercase": True, "alphabet": max(recipe.tokenizer.alphabet, min(common, MOST_CHARACTERS))}
    return recipe.tokenizer.model_copy(update=update)


def schedule_for(rows: int, mean_tokens: float, longest: int, started: bool) -> dict[str, float | int | bool]:
    """The schedule for a number of texts with a mean and maximum length in tokens.

    A network with random weights needs about 600 steps, one that is started from another 400. Texts of hundreds of
    tokens teach more per step, and training on them ends after 600,000 tokens, but not before 120 steps and three
    epochs.
    """
    texts_per_batch = 16 if rows < 4_000 else 32
    batch_tokens = max(int(1.15 * texts_per_batch * mean_tokens), longest)
    per_epoch = max(math.ceil(rows / texts_per_batch), 1)
    wanted = 400 if started else 600
    wanted = max(120, min(wanted, 600_000 // batch_tokens))
    epochs = min(max(math.ceil(wanted / per_epoch), 3 if started else 6), 40)
    return {
        "batch_tokens": batch_tokens,
        "epochs": epochs,
        "patience": epochs,  # the rate decreases to the end
        "warmup_steps": max(epochs * per_epoch // 10, 1),
        "average": round(1 - 1 / max(per_epoch / 2, 5), 4),
        "learning_rate": 0.002,
        "balance": True,
    }


def started(recipe: ClassificationRecipe, start: ClassificationManifest) -> ClassificationRecipe:
    """Return the recipe with network, tokenizer and limit of the bundle that it starts from."""
    theirs = recipe_of(start, ClassificationRecipe)
    network = theirs.network.model_copy(update={"dropout": recipe.network.dropout})
    return recipe.model_copy(
        update={
            "warm_start": f"{start.name}/{start.version}",
            "network": network,
            "tokenizer": theirs.tokenizer,
            "limits": theirs.limits,
            "vectors": None,
            "pretraining": None,
        }
    )


def with_replay(recipe: ClassificationRecipe, labels: list[str], rows: int) -> ClassificationRecipe:
    """Return the recipe with as many rows of the start's training data, if it has the same labels and its data is in
    the data folder."""
    assert recipe.warm_start is not None
    start = read_manifest(stored_bundle(recipe.warm_start), ClassificationManifest)
    old = recipe_of(start, ClassificationRecipe).data
    if start.labels != labels or not all(name in CORPORA and is_present(CORPORA[name]) for name in old.corpora):
        return recipe
    data = recipe.data.model_copy(update={"replay": old.model_copy(update={"rows": round(REPLAY * rows)})})
    return recipe.model_copy(update={"data": data})


def tokenizer_of(name: str) -> Tokenizer:
    """Tokenizer of a classifier in `models/`. Raises StartError."""
    return Tokenizer.from_file(str(stored_bundle(name) / "tokenizer.json"))


def best_start(texts: list[str], recipe: ClassificationRecipe, candidates: list[str]) -> ClassificationManifest | None:
    """The candidate whose tokenizer needs the fewest tokens for the texts, or None if none fits.

    It fits if it needs at most 1.5 times as many tokens as a tokenizer of these texts, with one in a hundred unknown.
    Of equal ones, one that was not started from another takes precedence.
    """
    own = count_tokens(train_tokenizer(texts, recipe.tokenizer), texts)[0]
    fitting = []
    bundles = public_bundles(ClassificationManifest)
    for name in candidates:
        if name in bundles:
            tokens, unknown = count_tokens(tokenizer_of(f"{name}/{bundles[name].version}"), texts)
            if tokens <= 1.5 * own and unknown <= 0.01 * tokens:
                fitting.append((tokens, bundles[name].training.recipe.get("warm_start") is not None, name))
    return bundles[min(fitting)[2]] if fitting else None


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[int, int]:
    """Number of tokens of the texts, and of unknown ones among them."""
    unknown, total, missing = special_id(tokenizer, UNK), 0, 0
    for encoding in tokenizer.encode_batch(list(texts)):
        total += len(encoding.ids)
        missing += encoding.ids.count(unknown)
    return total, missing
