"""Training of the tokenizer. Its file, `tokenizer.json`, is used in training and in serving."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from service.bundle.conventions import STAND_INS
from training.merges import frequent_merges
from training.recipe import TokenizerRecipe

PAD, UNK, BOS, EOS = SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""Names of the byte tokens."""


def _bpe(recipe: TokenizerRecipe) -> tuple[Any, Any]:
    options = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary - (len(BYTES) if recipe.byte_fallback else 0),
        limit_alphabet=recipe.alphabet,
        initial_alphabet=list(STAND_INS[: recipe.stand_ins]),
        **TRAINING,
    )
    return models.BPE(unk_token=UNK, fuse_unk=True), options


def _unigram(recipe: TokenizerRecipe) -> tuple[Any, Any]:
    return models.Unigram(), trainers.UnigramTrainer(vocab_size=recipe.vocabulary, unk_token=UNK, **TRAINING)


def _word(recipe: TokenizerRecipe) -> tuple[Any, Any]:
    return models.WordLevel(unk_token=UNK), trainers.WordLevelTrainer(vocab_size=recipe.vocabulary, **TRAINING)


def _character(recipe: TokenizerRecipe) -> tuple[Any, Any]:
    vocabulary = min(recipe.vocabulary, recipe.alphabet + len(SPECIAL_TOKENS))
    # Characters that occur once become <unk>, so that <unk> has training examples.
    options = trainers.WordLevelTrainer(vocab_size=vocabulary, min_frequency=2, **TRAINING)
    return models.WordLevel(unk_token=UNK), options


TRAINING: dict[str, Any] = {"special_tokens": list(SPECIAL_TOKENS), "show_progress": False}
MODELS = {"bpe": _bpe, "unigram": _unigram, "word": _word, "character": _character}


def special_id(tokenizer: Tokenizer, name: str) -> int:
    """Id of a special token. Every tokenizer of this module has all of them."""
    token_id = tokenizer.token_to_id(name)
    assert token_id is not None
    return token_id


def set_sampling(tokenizer: Tokenizer, recipe: TokenizerRecipe, sampling: float) -> None:
    """Set the random sampling of sub-words (`TokenizerRecipe.sampling`). 0 disables it."""
    if recipe.model == "bpe":
        tokenizer.model.dropout = sampling or None
    elif recipe.model == "unigram":
        tokenizer.model.alpha = sampling or None


def train_tokenizer(texts: Iterable[str], recipe: TokenizerRecipe) -> Tokenizer:
    """Train a tokenizer of `recipe.vocabulary` tokens: sub-words (BPE, Sennrich et al. 2016; unigram, Kudo 2018), words
    or characters.

    Texts are normalised to NFKC or NFC, and runs of white space to one space. A word includes its leading space, as
    U+2581. Each digit, punctuation mark and stand-in is a token; a stand-in does not include its leading space. The
    offsets of tokens refer to the original text. A character tokenizer does not normalise.
    """
    model, trainer = MODELS[recipe.model](recipe)
    tokenizer = Tokenizer(model)
    if recipe.model == "character":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer
    set_words(tokenizer, recipe)
    tokenizer.train_from_iterator(texts, trainer)
    return with_bytes(tokenizer) if recipe.byte_fallback else tokenizer


def set_words(tokenizer: Tokenizer, recipe: TokenizerRecipe) -> None:
    """Set the normal form of texts and their division into words."""
    form = normalizers.NFKC() if recipe.normal_form == "nfkc" else normalizers.NFC()
    steps = [form, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps + ([normalizers.Lowercase()] if recipe.lowercase else []))
    alone = r"▁?[\p{P}\p{N}]"
    if recipe.stand_ins:  # also symbols such as < and =, which often precede a stand-in
        alone = rf"▁?[\p{{P}}\p{{N}}\p{{S}}&&[^▁]]|[{STAND_INS[0]}-{STAND_INS[recipe.stand_ins - 1]}]"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(alone), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")


def extend_tokenizer(tokenizer: Tokenizer, texts: Iterable[str], recipe: TokenizerRecipe) -> Tokenizer:
    """Extend a BPE tokenizer to `recipe.vocabulary` tokens, so that a trained network keeps its tokens and their ids.

    Added are frequent characters of the texts, up to `recipe.alphabet`, stand-ins, merges of the most frequent pairs of
    tokens (Sennrich et al. 2016, algorithm 1, continued from the tokenizer's own merges), and bytes.
    """
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model["type"] != "BPE":
        raise ValueError(f"only a BPE tokenizer can be extended, not {model['type']}")
    vocabulary: dict[str, int] = {name: place for name, place in model["vocab"].items() if name not in BYTES}
    extended = Tokenizer.from_str(json.dumps(content))
    set_words(extended, recipe)
    words = Counter(
        word
        for text in texts
        for word, _ in extended.pre_tokenizer.pre_tokenize_str(extended.normalizer.normalize_str(text))
    )
    characters: Counter[str] = Counter()
    for word, count in words.items():
        characters.update(dict.fromkeys(word, count))
    alphabet = [character for character, _ in characters.most_common(recipe.alphabet)]
    for token in [*STAND_INS[: recipe.stand_ins], *alphabet]:
        vocabulary.setdefault(token, len(vocabulary))
    model["vocab"] = vocabulary
    split = Tokenizer.from_str(json.dumps(content)).model
    pieces = {word: [token.value for token in split.tokenize(word)] for word in words}
    room = recipe.vocabulary - len(vocabulary) - (len(BYTES) if recipe.byte_fallback else 0)
    for first, second in frequent_merges(pieces, words, room, UNK):
        vocabulary.setdefault(first + second, len(vocabulary))
        model["merges"].append([first, second])
    found = Tokenizer.from_str(json.dumps(content))
    set_words(found, recipe)
    return with_bytes(found) if recipe.byte_fallback else found


def with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Append a token for each byte to a sub-word tokenizer. An unknown character becomes its UTF-8 bytes; all of them
    have the span of the character."""
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {name: len(vocabulary) + byte for byte, name in enumerate(BYTES)}
    content["model"]["byte_fallback"] = True
    found = Tokenizer.from_str(json.dumps(content))
    found.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    return found
