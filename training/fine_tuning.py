"""Fine-tuning: more training of a translator from `models/` on the user's pairs."""

import math

from tokenizers import Tokenizer

from service.bundle.manifest import TranslationManifest
from training.corpora import CORPORA, is_present, sentence_pairs
from training.recipe import Mixture, Optimisation, TranslationData, TranslationRecipe
from training.start import public_bundles, recipe_of, stored_bundle
from training.tokenization import UNK

LEARNING_RATE = 0.0003
"""A quarter of the rate of a new network. Twice this rate and twice the epochs: three times as much is forgotten."""

BATCH_TOKENS = 1_500
"""Maximum padded tokens of a batch."""

STEPS = 270
"""Approximate number of steps, in 2 to 6 epochs."""

REPLAY = 1.0
"""Number of old pairs per new pair in an epoch."""


def fine_tuned(recipe: TranslationRecipe, model: str) -> TranslationRecipe:
    """Return the recipe of the user's pairs as a fine-tuning of a model in `models/`, if it is there.

    Network, tokenizer, limits and augmentation are those of the bundle. If its training data is present, each epoch has
    as many old pairs as new ones. Raises CorpusError.
    """
    start = public_bundles(TranslationManifest).get(model)
    if start is None:
        return recipe
    theirs = recipe_of(start, TranslationRecipe)
    pairs = [pair for corpus in recipe.data.corpora for pair in sentence_pairs(corpus, "train", recipe.data)]
    own = recipe.data.model_dump(include={"corpora", "columns", "skip_bad_rows"}, exclude_unset=True)
    replay = replayed(theirs.data, round(REPLAY * len(pairs)))
    data = theirs.data.model_copy(update=own | {"mixture": None, "measured": [], "replay": replay})
    name = f"{start.name}/{start.version}"
    tokenizer = Tokenizer.from_file(str(stored_bundle(name) / "tokenizer.json"))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch([pair.target for pair in pairs]))
    examples = [text for text in recipe.examples if UNK not in tokenizer.encode(text).tokens]
    network = theirs.network.model_copy(update={"dropout": recipe.network.dropout})
    return recipe.model_copy(
        update={
            "description": f"{recipe.description} Training went on from {name}.",
            "examples": examples or theirs.examples,
            "warm_start": name,
            "data": data,
            "network": network,
            "summary_layer": theirs.summary_layer,
            "tokenizer": theirs.tokenizer.model_copy(update={"keeps_warm_start": True, "extends_warm_start": False}),
            "limits": theirs.limits,
            "optimisation": schedule_for(tokens * (2 if replay else 1), theirs.optimisation),
        }
    )


def replayed(data: TranslationData, pairs: int) -> TranslationData | None:
    """The training data of a bundle as a mixture with this number of pairs. None if it is not in the data folder."""
    if not all(is_present(CORPORA[corpus]) for corpus in data.corpora):
        return None
    # Without a mixture, all pairs are of one kind.
    mixture = data.mixture or Mixture(pairs=1, shares={"any": 1}, lengths={"any": 100_000})
    return data.model_copy(update={"mixture": mixture.model_copy(update={"pairs": max(pairs, 1)})})


def schedule_for(tokens: int, theirs: Optimisation) -> Optimisation:
    """The schedule for a number of target tokens per epoch. The best epoch is that with the lowest loss on held-out
    pairs of the user."""
    per_epoch = max(math.ceil(1.2 * tokens / BATCH_TOKENS), 1)
    epochs = min(max(round(STEPS / per_epoch), 2), 6)
    changes = {
        "epochs": epochs,
        "patience": 1,
        "batch_tokens": BATCH_TOKENS,
        "learning_rate": LEARNING_RATE,
        "warmup_steps": max(epochs * per_epoch // 10, 1),
        "average": round(1 - 1 / max(per_epoch / 2, 5), 4),
        "precision": "auto",
    }
    return Optimisation.model_validate(theirs.model_dump(exclude_unset=True) | changes)
