"""Trains the `tokenizer.json` of a bundle: the file that decides what a token is, in training and in serving alike."""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from service.bundle.conventions import STAND_INS
from training.recipe import TokenizerRecipe

PAD, UNK, BOS, EOS = SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""What the tokens of single bytes are called."""


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
    most = min(recipe.vocabulary, recipe.alphabet + len(SPECIAL_TOKENS))
    # A character that is there once only is as good as unknown, and the unknown has to be learned from something.
    options = trainers.WordLevelTrainer(vocab_size=most, min_frequency=2, **TRAINING)
    return models.WordLevel(unk_token=UNK), options


TRAINING: dict[str, Any] = {"special_tokens": list(SPECIAL_TOKENS), "show_progress": False}
MODELS = {"bpe": _bpe, "unigram": _unigram, "word": _word, "character": _character}


def special_id(tokenizer: Tokenizer, name: str) -> int:
    """The id of a special token, which every tokenizer trained here has."""
    token_id = tokenizer.token_to_id(name)
    assert token_id is not None
    return token_id


def set_sampling(tokenizer: Tokenizer, recipe: TokenizerRecipe, sampling: float) -> None:
    """Let the tokenizer draw its sub-words (`TokenizerRecipe.sampling`), or with 0 take the best again."""
    if recipe.model == "bpe":
        tokenizer.model.dropout = sampling or None
    elif recipe.model == "unigram":
        tokenizer.model.alpha = sampling or None


def train_tokenizer(texts: Iterable[str], recipe: TokenizerRecipe) -> Tokenizer:
    """A tokenizer of `recipe.vocabulary` tokens: sub-words (BPE, Sennrich et al. 2016; unigram, Kudo 2018), words or
    characters.

    Text is NFKC-normalised and its white space made single; a word carries its leading space as U+2581;
    digits and punctuation stand alone, so that no token joins a word and its comma. The tokenizer keeps
    the character offsets of every token through all of that. Characters are taken as they are. A stand-in is a
    token of its own, apart from the space before it.
    """
    model, trainer = MODELS[recipe.model](recipe)
    tokenizer = Tokenizer(model)
    if recipe.model == "character":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer
    form = normalizers.NFKC() if recipe.normal_form == "nfkc" else normalizers.NFC()
    steps = [form, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence(steps + ([normalizers.Lowercase()] if recipe.lowercase else []))
    alone = r"▁?[\p{P}\p{N}]"
    if recipe.stand_ins:  # signs such as < and = too, which stand beside them
        alone = rf"▁?[\p{{P}}\p{{N}}\p{{S}}&&[^▁]]|[{STAND_INS[0]}-{STAND_INS[recipe.stand_ins - 1]}]"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(alone), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(texts, trainer)
    return with_bytes(tokenizer) if recipe.byte_fallback else tokenizer


def with_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer of sub-words with a token for each byte behind its own: a character that it does not know becomes
    its bytes in UTF-8, which all have that character's span."""
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {name: len(vocabulary) + byte for byte, name in enumerate(BYTES)}
    content["model"]["byte_fallback"] = True
    found = Tokenizer.from_str(json.dumps(content))
    found.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    return found
