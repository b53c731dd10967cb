"""The output vocabulary of a translator: the tokens that its output layer knows.

Source and target share a tokenizer, and many of its tokens occur in sources only. A network learns not to write them.
Without them the output layer is smaller. With 8,000 tokens it takes a quarter of the time of a decoding step.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer

from service.bundle.conventions import STAND_INS
from training.corpora.augmentation import Augmenter
from training.corpora.corpus import SentencePair
from training.corpora.mixing import mixed_pairs
from training.corpora.reading import sentence_pairs
from training.recipe import TranslationRecipe
from training.tokenization import BOS, EOS, PAD, UNK

PAIRS = 300_000
"""Maximum number of training pairs whose tokens are counted."""
MIN_PAIRS = 100_000
"""Minimum training pairs for a smaller output layer. Fewer pairs lack too many tokens of the language."""
MIN_COUNT = 5
"""Minimum number of times that a token occurs in the translations of these pairs."""


def output_vocabulary(recipe: TranslationRecipe, tokenizer: Tokenizer) -> list[int] | None:
    """Return the sorted ids of the tokens that a recipe's translations have. None: all. Raises CorpusError."""
    targets = training_targets(recipe)
    return frequent_ids(tokenizer, targets) if len(targets) >= MIN_PAIRS else None


def frequent_ids(tokenizer: Tokenizer, targets: Sequence[str], min_count: int = MIN_COUNT) -> list[int]:
    """Return the sorted ids of the frequent tokens of some texts, of special tokens, characters and bytes.

    Characters and bytes can write any text.
    """
    counts: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch_fast(list(targets), add_special_tokens=False):
        counts.update(encoding.ids)
    always = {PAD, UNK, BOS, EOS, *STAND_INS}
    return sorted(
        token_id
        for token, token_id in tokenizer.get_vocab().items()
        if counts[token_id] >= min_count or token in always or is_character(token)
    )


def is_character(token: str) -> bool:
    """True for one character, with or without the mark of a word's start, and for a byte such as <0x0A>."""
    return len(token.removeprefix("▁")) <= 1 or (len(token) == 6 and token.startswith("<0x"))


def training_targets(recipe: TranslationRecipe) -> list[str]:
    """Return the translations of up to PAIRS training pairs of a recipe, augmented as in training.

    Raises CorpusError.
    """
    data, generator = recipe.data, random.Random(recipe.seed)
    held_out: set[str] = set()
    rows: Iterable[SentencePair]
    if data.mixture is not None:
        mixed = mixed_pairs(data, recipe.seed)
        held_out = mixed.held_out
        rows = [row for epoch in range(-(-PAIRS // data.mixture.pairs)) for row in mixed.epoch(epoch)]
    else:
        rows = [row for corpus in dict.fromkeys(data.corpora) for row in sentence_pairs(corpus, "train", data)]
    rows = list(rows)
    rows = generator.sample(rows, min(PAIRS, len(rows)))
    if data.augmentation is not None:
        return [target for _, target in Augmenter(data.augmentation, generator, held_out).augment(rows)]
    return [row.target for row in rows]
