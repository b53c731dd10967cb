"""One call of the translator: its texts, their segments, and the sentences that are finished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.attention import AttentionMatrix
from service.batching import budget
from service.bundle.manifest import AttentionKind
from service.errors import TooManyTokens
from service.markup.alignment import WordAlignment
from service.markup.protect import ProtectedText
from service.text.tokenizer import TextTokenizer, Token
from service.translation.choice import Candidate, candidate, choose, others
from service.translation.engine import Decoded, NewToken, Options, TranslationRequest
from service.translation.glossary import Occurrence
from service.translation.restore import join, moved, restore
from service.translation.results import Match, Sentence, SentenceEvent, TokenEvent, Translation, UsedTerm
from service.translation.segments import Segment, Segmenter
from service.translation.term_placement import Placement, TermTokens, place_terms


@dataclass
class Draft:
    """A hypothesis in which terms are replaced."""

    segment: Segment
    placement: Placement
    decoded: Decoded | None = None
    """The result of its pattern, as soon as there is one."""


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
    occurrences: Sequence[Occurrence] = ()
    """Terms of the glossary in the segment."""
    match: Match | None = None
    """The best match in the memory. An exact one is the translation."""
    drafts: list[Draft] = field(default_factory=list)
    """The hypotheses whose terms are replaced: the chosen one, then the alternatives."""


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
    target_language: str
    on_sentence: Callable[[SentenceEvent], None] | None = None
    pending: list[Item] = field(init=False)
    """Items without an exact match, which the network translates."""
    retried: list[Item] = field(default_factory=list)
    """Items that are translated again."""
    drafted: list[tuple[Item, Draft]] = field(default_factory=list)
    """Hypotheses that are written again with their terms."""

    def __post_init__(self) -> None:
        self.pending = [item for item in self.items if item.sentence is None]

    def requests(self, streams: bool) -> list[TranslationRequest]:
        """Requests for all pending segments. With `streams`, new tokens of final segments are reported."""
        return [self._request(item, item.segment, streams) for item in self.pending]

    @property
    def is_finished(self) -> bool:
        return all(item.sentence is not None for item in self.items)

    def retries(self) -> list[TranslationRequest]:
        """Requests for the segments that lost a number or a kept word, with placeholders for these."""
        self.retried = [item for item in self.items if item.retry is not None]
        return [self._request(item, item.retry, False) for item in self.retried if item.retry is not None]

    def patterns(self) -> list[TranslationRequest]:
        """Requests for the hypotheses in which terms are replaced."""
        self.drafted = [(item, draft) for item in self.items if item.sentence is None for draft in item.drafts]
        return [
            replace(self._request(item, draft.segment, False), pattern=draft.placement.pattern)
            for item, draft in self.drafted
        ]

    def _request(self, item: Item, segment: Segment, streams: bool) -> TranslationRequest:
        options = self.options
        if (item.occurrences or not segment.is_plain) and options.attention == "none":
            options = replace(options, attention="summary")  # restoring needs the alignment
        unknown = self.source_tokenizer.unknown(segment.encoded.ids)
        return TranslationRequest(
            segment.encoded.ids, unknown, options, streams and segment.is_final and not item.occurrences
        )

    def emit_finished(self) -> None:
        """Emit the sentences that have exact matches."""
        if self.on_sentence is not None and len(self.pending) < len(self.items):
            for item in self.items:
                if item.sentence is not None:
                    self.on_sentence(SentenceEvent(item.translation, item.number, item.sentence))

    def finish(self, place: int, decoded: Decoded) -> None:
        """Take the result of pending[place]: as a sentence, or plan a retry. A second call has no effect."""
        item = self.pending[place]
        if item.sentence is not None or item.retry is not None or item.drafts:
            return
        budget.check()
        chosen = choose(self.target_tokenizer, item.segment, decoded)
        if not chosen.keeps_words:
            item.retry = self.segmenter.with_words_protected(item.protected, item.segment)
        if item.retry is None:
            self._accept(item, item.segment, decoded, chosen)

    def finish_retry(self, place: int, decoded: Decoded) -> None:
        """Take the second result of retried[place]."""
        item = self.retried[place]
        if item.sentence is None and item.retry is not None:
            budget.check()
            self._accept(item, item.retry, decoded, choose(self.target_tokenizer, item.retry, decoded))

    def finish_pattern(self, place: int, decoded: Decoded) -> None:
        """Take the result of drafted[place]."""
        item, draft = self.drafted[place]
        draft.decoded = decoded
        if item.sentence is not None or any(other.decoded is None for other in item.drafts):
            return
        budget.check()
        versions = []
        for one in item.drafts:
            assert one.decoded is not None
            best = candidate(self.target_tokenizer, one.segment, one.decoded, 0)
            versions.append((self._sentence(item.protected, one.segment, one.decoded, best, one.placement), best.score))
        chosen, *others = versions
        alternatives = [(sentence.text, score) for sentence, score in others]
        self._set_sentence(item, replace(chosen[0], alternatives=alternatives))

    def _accept(self, item: Item, segment: Segment, decoded: Decoded, chosen: Candidate) -> None:
        """Take a translation, or plan to replace its terms."""
        placement = None
        rest = others(self.target_tokenizer, segment, decoded, chosen.index, self.options.alternatives)
        if item.occurrences:
            chosen, placement = self._with_most_terms(item, segment, decoded, chosen)
            other_placements = [self._placement(item, segment, decoded, other) for other in rest]
            if placement.changed or any(other.changed for other in other_placements):
                item.drafts = [Draft(segment, one) for one in (placement, *other_placements) if one.parts]
                return
        sentence = self._sentence(item.protected, segment, decoded, chosen, placement)
        alternatives = [(self._restored(item.protected, segment, decoded, one)[0], one.score) for one in rest]
        self._set_sentence(item, replace(sentence, alternatives=alternatives) if alternatives else sentence)

    def _with_most_terms(
        self, item: Item, segment: Segment, decoded: Decoded, chosen: Candidate
    ) -> tuple[Candidate, Placement]:
        """The chosen hypothesis, or a better one with as few faults that translates more of the terms."""
        placement = self._placement(item, segment, decoded, chosen)
        for index in range(len(decoded.hypotheses)):
            if not placement.missing:
                break
            other = candidate(self.target_tokenizer, segment, decoded, index)
            if other.faults <= chosen.faults:
                found = self._placement(item, segment, decoded, other)
                if found.missing < placement.missing:
                    chosen, placement = other, found
        return chosen, placement

    def _placement(self, item: Item, segment: Segment, decoded: Decoded, one: Candidate) -> Placement:
        words = WordAlignment(segment.encoded.tokens, one.tokens, one.text, self._alignment(decoded, one))
        token_ids = decoded.hypotheses[one.index].token_ids
        return place_terms(
            item.occurrences, words, one.text, token_ids, one.tokens, self.target_tokenizer, self.target_language
        )

    def _alignment(self, decoded: Decoded, one: Candidate) -> list[AttentionMatrix]:
        """The matrices of a hypothesis that align target tokens with source tokens."""
        matrices = decoded.attention_of(one.index)
        return [matrix for matrix in matrices if (matrix.kind, matrix.layer) in self.alignment_outputs]

    def _set_sentence(self, item: Item, sentence: Sentence) -> None:
        if item.match is not None:
            sentence = replace(sentence, match=item.match)
        item.sentence = sentence
        if self.on_sentence is not None:
            self.on_sentence(SentenceEvent(item.translation, item.number, sentence))

    def _sentence(
        self,
        protected: ProtectedText,
        segment: Segment,
        decoded: Decoded,
        chosen: Candidate,
        placement: Placement | None,
    ) -> Sentence:
        attention = decoded.attention_of(chosen.index)
        found: list[TermTokens] = []
        if placement is not None:
            found = placement.term_tokens(decoded.hypotheses[chosen.index].token_ids, chosen.tokens)
        text, targets = self._restored(protected, segment, decoded, chosen, found)
        terms = sorted((_used(one, protected, targets) for one in found), key=lambda term: term.start)
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
            alternatives=[],
            log_probs=decoded.hypotheses[chosen.index].log_probs,
            terms=terms,
        )

    def _restored(
        self,
        protected: ProtectedText,
        segment: Segment,
        decoded: Decoded,
        one: Candidate,
        terms: Sequence[TermTokens] = (),
    ) -> tuple[str, list[Token]]:
        """A hypothesis in the form of the text. Terms with unknown symbols are replaced by their translations."""
        spans = [(one.tokens[t.first].start, one.tokens[t.end - 1].end, t.term) for t in terms]
        spelled = [((start, end), term.text) for start, end, term in spans if term.written != term.text]
        if segment.is_plain and not segment.source.capitals and protected.mapped is None and not spelled:
            return one.text, one.tokens
        alignment = [] if segment.is_plain else self._alignment(decoded, one)
        return restore(protected, segment, one.text, one.tokens, alignment, spelled)

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
        """A callback for the scheduler that turns a new token of pending[place] into its text."""
        decoders: dict[int, Callable[[int], str]] = {}

        def listen(place: int, token: NewToken) -> None:
            item = self.pending[place]
            decode = decoders.get(place) or decoders.setdefault(place, self.target_tokenizer.stream_decoder())
            text = decode(token.token_id)
            if token.copied is not None:
                text = item.segment.encoded.tokens[token.copied].text
            on_token(TokenEvent(item.translation, item.number, item.protected.escape(text), token.weights))

        return listen


def _used(found: TermTokens, protected: ProtectedText, targets: Sequence[Token]) -> UsedTerm:
    """A term with its spans. targets: the tokens of the restored translation."""
    occurrence = found.term.occurrence
    source = protected.span(occurrence.start, occurrence.end)
    target = targets[found.first].start, targets[found.end - 1].end
    return UsedTerm(occurrence.source, occurrence.target, *source, *target, found.term.unaligned)


def _in_text(token: Token, protected: ProtectedText, end: int) -> Token:
    """A token of a sentence with its span in the text as sent, where the sentence ends at `end`."""
    first, last = protected.span(token.start, token.end)
    return moved(token, (min(first, end), min(last, end)), protected.raw)


MAX_SENTENCES = 10_000
"""Maximum sentences and lines of one request. The event loop queues each of them."""


TermFinder = Callable[[int, ProtectedText], Sequence[Occurrence]]
"""The terms in a protected text, by the index of the text. Spans are in the protected text."""
MatchFinder = Callable[[str, str], Match | None]
"""The best match of a segment in a memory. Arguments: the segment and the whole text, both as sent."""


def items_of(
    texts: Sequence[ProtectedText],
    segmenter: Segmenter,
    width: int,
    max_tokens: int,
    find_terms: TermFinder | None = None,
    find_match: MatchFinder | None = None,
) -> list[Item]:
    """All segments of some texts, in order, with the terms in them and their matches in a memory.

    Raises TooManyTokens above MAX_SENTENCES and at twice `max_tokens` source tokens times beam size, so that a text is
    not split to its end for nothing. The scheduler refuses any request above `max_tokens`.
    """
    items: list[Item] = []
    tokens = 0
    for index, text in enumerate(texts):
        occurrences = [] if find_terms is None else find_terms(index, text)
        for number, segment in enumerate(segmenter.split(text)):
            tokens += len(segment.encoded.ids) * width
            if len(items) == MAX_SENTENCES:
                raise _too_many(f"more than {MAX_SENTENCES} sentences and lines", MAX_SENTENCES)
            if tokens > 2 * max_tokens:
                raise _too_many(f"more than {2 * max_tokens} tokens", max_tokens)
            item = Item(index, number, text, segment)
            if occurrences:
                inside = [o for o in occurrences if segment.start <= o.start and o.end <= segment.end]
                item = Item(index, number, text, without_kept(segment, inside), occurrences=inside)
            if find_match is not None:
                _set_match(item, find_match)
            items.append(item)
    return items


def _set_match(item: Item, find_match: MatchFinder) -> None:
    """Find the match of a segment, and take an exact one as its translation."""
    start, end = item.protected.span(item.segment.start, item.segment.end)
    item.match = match = find_match(item.protected.raw[start:end], item.protected.raw)
    if match is not None and match.is_exact:
        item.sentence = Sentence(match.target, 0.0, start, end, [], [], [], [], match=match)


def without_kept(segment: Segment, occurrences: Sequence[Occurrence]) -> Segment:
    """The segment without the kept words that are in terms: they are translated as the glossary says."""
    source = segment.source
    kept = [
        span
        for span, (start, end) in ((span, source.mapped.span(*span)) for span in source.kept)
        if not any(o.start < end and o.end > start for o in occurrences)
    ]
    return replace(segment, source=replace(source, kept=kept)) if len(kept) < len(source.kept) else segment


def _too_many(found: str, maximum: int) -> TooManyTokens:
    return TooManyTokens(f"{found} in one request, at most {maximum} are taken; send fewer or shorter texts")
