"""Tokenizer: text -> token ids and character offsets, and back. Offsets count Unicode code points."""

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer
from tokenizers.decoders import DecodeStream

from service.batching import budget
from service.errors import BundleCorrupt


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to create
class Token:
    """A token and its span: text == whole[start:end], end exclusive."""

    text: str
    start: int
    end: int
    special: str | None = None
    """Name of a special token, such as </s>, which has no text."""


@dataclass(slots=True)
class Encoded:
    """Token ids of a text, and their tokens."""

    ids: list[int]
    tokens: list[Token]
    """One for each id."""


WORD_START = "\u2581"
"""The tokenizers' symbol for the space before a word."""


SHORT = 1_000
"""Maximum characters of a text that is encoded under the GIL, which takes about 0.2 ms."""
CHARACTERS_PER_TOKEN = 8
"""Characters per token in the first attempt to encode the beginning of a text."""

# `encode_batch` starts threads without this setting.
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def token_count(encoded: Encoded, limit: int) -> str:
    """The number of tokens in a message, for the result of `TextTokenizer.encode_beginning`."""
    count = len(encoded.ids)
    return str(count) if count <= 2 * limit else f"more than {2 * limit}"


def _splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """True if the ids of a text are those of its parts between spaces, for texts without WORD_START."""
    if tokenizer.normalizer is None or tokenizer.pre_tokenizer is None or tokenizer.post_processor is not None:
        return False
    if any(not token.special for token in tokenizer.get_added_tokens_decoder().values()):
        return False
    normalizer = json.loads(tokenizer.normalizer.__getstate__())
    pre_tokenizer = json.loads(tokenizer.pre_tokenizer.__getstate__())
    first, *others = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return (
        all(step in NORMALIZERS_OF_WORDS for step in normalizer.get("normalizers", [normalizer]))
        and first == SPLIT_AT_SPACES
        and all(step["type"] == "Split" for step in others)
    )


NORMALIZERS_OF_WORDS = [
    {"type": "NFC"},
    {"type": "NFKC"},
    {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
]
"""Normalizers that change a word without its neighbours."""
SPLIT_AT_SPACES = {"type": "Metaspace", "replacement": WORD_START, "prepend_scheme": "always", "split": True}


class TextTokenizer:
    """A tokenizer, from the content of a bundle's tokenizer.json. Raises BundleCorrupt if it is invalid."""

    def __init__(self, content: bytes):
        try:
            self._tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises bare Exception
            raise BundleCorrupt(f"tokenizer.json is not a tokenizer: {error}") from None
        self._tokenizer.encode_special_tokens = True  # "</s>" in a text is plain text
        self.unknown_id: int | None = self._tokenizer.token_to_id("<unk>")
        """Id of unknown symbols."""
        self._word_start_id = self._tokenizer.token_to_id(WORD_START)
        self._splits_at_spaces = _splits_at_spaces(self._tokenizer)

    @property
    def size(self) -> int:
        """Size of the vocabulary."""
        found: int = self._tokenizer.get_vocab_size()
        return found

    def encode(self, text: str, start: int = 0, end: int | None = None) -> Encoded:
        """The tokens of text[start:end], with offsets into the whole text.

        One text at a time: the library's own threads compete with those of the networks, and are no faster.
        """
        piece = text[start:end]
        # `encode` holds the GIL. `encode_batch` releases it, and the return of the GIL costs more than a short text.
        encoding = self._tokenizer.encode(piece) if len(piece) <= SHORT else self._tokenizer.encode_batch([piece])[0]
        return self._encoded(encoding, piece, start)

    def ids_of(self, texts: Sequence[str], known: dict[str, list[int]]) -> list[list[int]]:
        """The ids of some texts, without their tokens. Other threads run meanwhile.

        known: ids of the parts of earlier texts. A tokenizer that splits at spaces reads a part once, and each text is
            the sequence of its parts; otherwise the part is the whole text. New parts are added
        """
        by_spaces = self._splits_at_spaces
        parts = [text.split(" ") if by_spaces and WORD_START not in text else [text] for text in texts]
        new = [part for part in dict.fromkeys(itertools.chain.from_iterable(parts)) if part not in known]
        for part, encoding in zip(new, self._tokenizer.encode_batch_fast(new), strict=True):
            known[part] = encoding.ids
        return [list(itertools.chain.from_iterable([known[part] for part in row])) for row in parts]

    def encode_beginning(self, text: str, limit: int) -> Encoded:
        """The tokens of a text; of a long text, those of a beginning with more than 2 * limit tokens.

        The first `limit` tokens are those of the whole text, and the time does not depend on the rest of it.
        """
        reach = CHARACTERS_PER_TOKEN * limit
        while len((encoded := self.encode(text, 0, reach)).ids) <= 2 * limit and reach < len(text):
            budget.check()
            reach *= 2
        return encoded

    def _encoded(self, encoding: Encoding, text: str, shift: int) -> Encoded:
        tokens: list[Token] = []
        ids, offsets, specials = encoding.ids, encoding.offsets, encoding.special_tokens_mask
        # The start of the next token. The offsets of </s> are not reliable: it is at the end.
        starts = [len(text) if special else start for (start, _), special in zip(offsets, specials, strict=True)]
        for token_id, (start, end), special, following in zip(
            ids, offsets, specials, [*starts[1:], len(text)][: len(ids)], strict=True
        ):
            if special:
                end = tokens[-1].end if tokens else shift
                tokens.append(Token("", end, end, self._tokenizer.id_to_token(token_id)))
                continue
            # Normalisation joins an accent to its letter, and leaves it out of the span.
            while end < following and not text[end].isspace():
                end += 1
            # A token includes the space before its word; the span does not, unless there is nothing else.
            surface = text[start:end]
            if visible := surface.lstrip():
                surface, start = visible, end - len(visible)
                if token_id == self._word_start_id and surface.rstrip() != WORD_START:
                    surface, end = "", start  # inserted by the tokenizer before the first word
            tokens.append(Token(surface, start + shift, end + shift))
        return Encoded(ids, tokens)

    def token_id(self, token: str) -> int:
        """Return the id of a token. Raises BundleCorrupt if there is no such token."""
        token_id: int | None = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise BundleCorrupt(f"tokenizer.json has no token {token!r}")
        return token_id

    def unknown(self, ids: list[int]) -> list[int]:
        """Positions of the ids of unknown symbols."""
        return [place for place, token_id in enumerate(ids) if token_id == self.unknown_id]

    def stream_decoder(self, before: Sequence[int] = ()) -> Callable[[int], str]:
        """A function that takes the ids of one text in order, and returns the text that each one adds.

        The text includes the white space before it. It is empty if the id has no text, or only together with the next
        one. `before`: ids that the text starts with.
        """
        stream = DecodeStream(skip_special_tokens=True)
        for token_id in before:
            stream.step(self._tokenizer, token_id)
        return lambda token_id: stream.step(self._tokenizer, token_id) or ""

    def decode(
        self, ids: list[int], start: int = 0, copied: Mapping[int, str] | None = None
    ) -> tuple[str, list[Token]]:
        """Ids -> their text, and their tokens with offsets from `start` on.

        `copied`: texts for ids that have none, by position.

        >>> tokenizer.decode([17, 4])  # doctest: +SKIP
        ('Bonjour', [Token(text='Bon', start=0, end=3), Token(text='jour', start=3, end=7)])
        """
        tokens: list[Token] = []
        text, decode = "", self.stream_decoder()
        for place, token_id in enumerate(ids):
            surface = decode(token_id) or (copied or {}).get(place, "")
            text += surface
            # White space before a word is not part of its token.
            visible = surface.lstrip()
            end = start + len(text)
            tokens.append(Token(visible, end - len(visible), end))
        return text, tokens
