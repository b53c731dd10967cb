"""Text -> token ids and character offsets, and back. Offsets count Unicode code points."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tokenizers import Encoding, Tokenizer
from tokenizers.decoders import DecodeStream

from service.errors import BundleCorrupt

R = TypeVar("R")

BRIEF = 2_000
"""Characters that take less time to tokenise than it takes to wake a thread for them."""


async def run_in_thread_if_long(texts: Sequence[str], function: Callable[[], R]) -> R:
    """Call a function over texts, in a thread where they are long enough to hold up the event loop."""
    if sum(map(len, texts)) <= BRIEF:
        return function()
    return await asyncio.to_thread(function)


@dataclass(slots=True)  # not frozen: a frozen one takes four times as long to make, and there are many
class Token:
    """A token and the piece of text it stands for: text == whole[start:end], end exclusive."""

    text: str
    start: int
    end: int
    special: str | None = None
    """The name of a special token, such as </s>, which stands for no text."""


@dataclass(slots=True)
class Encoded:
    ids: list[int]
    tokens: list[Token]
    """One for each id."""


WORD_START = "\u2581"
"""What tokenizers write for the space before a word."""


class TextTokenizer:
    """A bundle's tokenizer.json. Raises BundleCorrupt if it cannot be read."""

    def __init__(self, path: Path):
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise BundleCorrupt(f"{path} is not a tokenizer: {error}") from None
        self._tokenizer.encode_special_tokens = True  # "</s>" in somebody's text is text
        self._unknown_id = self._tokenizer.token_to_id("<unk>")
        self._word_start_id = self._tokenizer.token_to_id(WORD_START)

    @property
    def size(self) -> int:
        """How many tokens there are."""
        found: int = self._tokenizer.get_vocab_size()
        return found

    def encode(self, text: str, start: int = 0, end: int | None = None) -> Encoded:
        """The tokens of text[start:end], with offsets into the whole text.

        One text at a time: the library's threads for many fight with those of the networks, and are no sooner done.
        """
        piece = text[start:end]
        return self._encoded(self._tokenizer.encode(piece), piece, start)

    def _encoded(self, encoding: Encoding, text: str, shift: int) -> Encoded:
        tokens: list[Token] = []
        ids, offsets, specials = encoding.ids, encoding.offsets, encoding.special_tokens_mask
        # Where the next token starts: </s> is at the end, whatever its offsets say.
        starts = [len(text) if special else start for (start, _), special in zip(offsets, specials, strict=True)]
        for token_id, (start, end), special, following in zip(
            ids, offsets, specials, [*starts[1:], len(text)][: len(ids)], strict=True
        ):
            if special:
                end = tokens[-1].end if tokens else shift
                tokens.append(Token("", end, end, self._tokenizer.id_to_token(token_id)))
                continue
            # An accent that normalisation joined to its letter is in no span: it goes with the letter.
            while end < following and not text[end].isspace():
                end += 1
            # A word's token carries the space before it; its span does not, unless it is all there is.
            surface = text[start:end]
            if visible := surface.lstrip():
                surface, start = visible, end - len(visible)
                if token_id == self._word_start_id and surface.rstrip() != WORD_START:
                    surface, end = "", start  # put before a text that starts without a space: stands for nothing in it
            tokens.append(Token(surface, start + shift, end + shift))
        return Encoded(ids, tokens)

    def unknown(self, ids: list[int]) -> list[int]:
        """The places of the ids that stand for symbols this tokenizer does not know."""
        return [place for place, token_id in enumerate(ids) if token_id == self._unknown_id]

    def speaker(self, before: Sequence[int] = ()) -> Callable[[int], str]:
        """A function of the ids of one text, one after the other -> what each adds to it, white space before it
        included; nothing for one that spells nothing, or only together with the next. `before` are the ids that the
        text begins with."""
        stream = DecodeStream(skip_special_tokens=True)
        for token_id in before:
            stream.step(self._tokenizer, token_id)
        return lambda token_id: stream.step(self._tokenizer, token_id) or ""

    def decode(
        self, ids: list[int], start: int = 0, copied: Mapping[int, str] | None = None
    ) -> tuple[str, list[Token]]:
        """Ids -> the text they spell, and each one's part of it, laid end to end from `start` on.

        `copied` says what stands for an id that spells nothing, by its place.

        >>> tokenizer.decode([17, 4])  # doctest: +SKIP
        ('Bonjour', [Token(text='Bon', start=0, end=3), Token(text='jour', start=3, end=7)])
        """
        tokens: list[Token] = []
        text, speak = "", self.speaker()
        for place, token_id in enumerate(ids):
            surface = speak(token_id) or (copied or {}).get(place, "")
            text += surface
            # White space before a word belongs to the text, not to the word.
            visible = surface.lstrip()
            end = start + len(text)
            tokens.append(Token(visible, end - len(visible), end))
        return text, tokens
