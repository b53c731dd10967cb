"""One call of the translator: its texts, their segments, and the sentences that are finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.attention import AttentionMatrix
from service.batching import budget
from service.bundle.manifest import AttentionKind
from service.errors import TooManyTokens
from service.markup.protect import ProtectedText
from service.text.tokenizer import TextTokenizer, Token
from service.translation.choice import Candidate, choose, others
from service.translation.engine import Decoded, NewToken, Options, TranslationRequest
from service.translation.restore import join, moved, restore
from service.translation.results import Sentence, SentenceEvent, TokenEvent, Translation
from service.translation.segments import Segment, Segmenter


@dataclass
class Item:
    """A segment of one of the texts."""

    translation: int
    """Index of the text."""
    number: int
    """Index of the segment in its text."""
    protected: ProtectedText
    segment: Segment
    sentence: Sentence | None = None
    """The result, as soon as there is one."""
    retry: Segment | None = None
    """The segment with its numbers and kept words protected, if the translation does not keep them."""


@dataclass
class Job:
    """The segments of all texts of a request, and their translations."""

    texts: list[ProtectedText]
    items: list[Item]
    options: Options
    source_tokenizer: TextTokenizer
    target_tokenizer: TextTokenizer
    segmenter: Segmenter
    alignment_outputs: set[tuple[AttentionKind, int | None]]
    """Kind and layer of the matrices that align target tokens with source tokens."""
    on_sentence: Callable[[SentenceEvent], None] | None = None
    retried: list[Item] = field(default_factory=list)
    """Items that are translated again."""

    def requests(self, streams: bool) -> list[TranslationRequest]:
        """Requests for all segments. With `streams`, new tokens of final segments are reported."""
        return [self._request(item.segment, streams) for item in self.items]

    @property
    def is_finished(self) -> bool:
        return all(item.sentence is not None for item in self.items)

    def retries(self) -> list[TranslationRequest]:
        """Requests for the segments that lost a number or a kept word, with placeholders for these."""
        self.retried = [item for item in self.items if item.retry is not None]
        return [self._request(item.retry, False) for item in self.retried if item.retry is not None]

    def _request(self, segment: Segment, streams: bool) -> TranslationRequest:
        options = self.options
        if not segment.is_plain and options.attention == "none":
            options = replace(options, attention="summary")  # restoring needs the alignment
        unknown = self.source_tokenizer.unknown(segment.encoded.ids)
        return TranslationRequest(segment.encoded.ids, unknown, options, streams and segment.is_final)

    def finish(self, place: int, decoded: Decoded) -> None:
        """Take the result of items[place]: as a sentence, or plan a retry. A second call has no effect."""
        item = self.items[place]
        if item.sentence is not None or item.retry is not None:
            return
        budget.check()
        chosen = choose(self.target_tokenizer, item.segment, decoded)
        if not chosen.keeps_words:
            item.retry = self.segmenter.with_words_protected(item.protected, item.segment)
        if item.retry is None:
            self._set_sentence(item, item.segment, decoded, chosen)

    def finish_retry(self, place: int, decoded: Decoded) -> None:
        """Take the second result of retried[place]."""
        item = self.retried[place]
        if item.sentence is None and item.retry is not None:
            budget.check()
            self._set_sentence(item, item.retry, decoded, choose(self.target_tokenizer, item.retry, decoded))

    def _set_sentence(self, item: Item, segment: Segment, decoded: Decoded, chosen: Candidate) -> None:
        item.sentence = self._sentence(item.protected, segment, decoded, chosen)
        if self.on_sentence is not None:
            self.on_sentence(SentenceEvent(item.translation, item.number, item.sentence))

    def _sentence(self, protected: ProtectedText, segment: Segment, decoded: Decoded, chosen: Candidate) -> Sentence:
        attention = decoded.attention_of(chosen.index)
        text, targets = self._restored(protected, segment, decoded, chosen)
        rest = others(self.target_tokenizer, segment, decoded, chosen.index, self.options.alternatives)
        start, end = protected.span(segment.start, segment.end)
        sources = segment.encoded.tokens
        if segment.source.changed is not None or protected.mapped is not None:
            sources = [_in_text(token, protected, end) for token in sources]
        return Sentence(
            text=text,
            score=chosen.score,
            start=start,
            end=end,
            source_tokens=sources,
            target_tokens=targets,
            attention=attention if self.options.attention != "none" else [],
            alternatives=[
                (self._restored(protected, segment, decoded, candidate)[0], candidate.score) for candidate in rest
            ],
        )

    def _restored(
        self, protected: ProtectedText, segment: Segment, decoded: Decoded, candidate: Candidate
    ) -> tuple[str, list[Token]]:
        if segment.is_plain and not segment.source.capitals and protected.mapped is None:
            return candidate.text, candidate.tokens
        alignment: list[AttentionMatrix] = []
        if not segment.is_plain:
            matrices = decoded.attention_of(candidate.index)
            alignment = [matrix for matrix in matrices if (matrix.kind, matrix.layer) in self.alignment_outputs]
        return restore(protected, segment, candidate.text, candidate.tokens, alignment)

    def translations(self) -> list[Translation]:
        """The translated texts, after all items are finished."""
        sentences: list[list[Sentence]] = [[] for _ in self.texts]
        for item in self.items:
            assert item.sentence is not None  # every item is finished, or its retry is
            sentences[item.translation].append(item.sentence)
        return [
            join(text.raw, found, self.options.alternatives) for text, found in zip(self.texts, sentences, strict=True)
        ]

    def token_listener(self, on_token: Callable[[TokenEvent], None]) -> Callable[[int, NewToken], None]:
        """A callback for the scheduler that turns a new token of items[place] into its text."""
        decoders: dict[int, Callable[[int], str]] = {}

        def listen(place: int, token: NewToken) -> None:
            item = self.items[place]
            decode = decoders.get(place) or decoders.setdefault(place, self.target_tokenizer.stream_decoder())
            text = decode(token.token_id)
            if token.copied is not None:
                text = item.segment.encoded.tokens[token.copied].text
            on_token(TokenEvent(item.translation, item.number, item.protected.escape(text), token.weights))

        return listen


def _in_text(token: Token, protected: ProtectedText, end: int) -> Token:
    """A token of a sentence with its span in the text as sent, where the sentence ends at `end`."""
    first, last = protected.span(token.start, token.end)
    return moved(token, (min(first, end), min(last, end)), protected.raw)


MAX_SENTENCES = 10_000
"""Maximum sentences and lines of one request. The event loop queues each of them."""


def items_of(texts: Sequence[ProtectedText], segmenter: Segmenter, width: int, max_tokens: int) -> list[Item]:
    """All segments of some texts, in order.

    Raises TooManyTokens above MAX_SENTENCES and at twice `max_tokens` source tokens times beam size, so that a text is
    not split to its end for nothing. The scheduler refuses any request above `max_tokens`.
    """
    items: list[Item] = []
    tokens = 0
    for index, text in enumerate(texts):
        for number, segment in enumerate(segmenter.split(text)):
            tokens += len(segment.encoded.ids) * width
            if len(items) == MAX_SENTENCES:
                raise _too_many(f"more than {MAX_SENTENCES} sentences and lines", MAX_SENTENCES)
            if tokens > 2 * max_tokens:
                raise _too_many(f"more than {2 * max_tokens} tokens", max_tokens)
            items.append(Item(index, number, text, segment))
    return items


def _too_many(found: str, maximum: int) -> TooManyTokens:
    return TooManyTokens(f"{found} in one request, at most {maximum} are taken; send fewer or shorter texts")
