"""The translator: texts -> translations, sentence by sentence, with tokens, scores and attention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service import observability
from service.batching.offload import run_in_thread_if_long
from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import Bundle
from service.bundle.conventions import UNKNOWN_SYMBOL
from service.bundle.golden import TranslationAnswer, TranslationCase
from service.bundle.manifest import TranslationManifest
from service.errors import UnsupportedOption
from service.markup.protect import NAME_STAND_IN, Format, ProtectedText, protect
from service.runtime import Runtime
from service.text.tokenizer import TextTokenizer
from service.translation.engine import DEFAULT, Decoded, NewToken, Options, TranslationEngine, TranslationRequest
from service.translation.restore import join, restore
from service.translation.results import Sentence, SentenceEvent, TokenEvent, Translation
from service.translation.segments import Segment, Segmenter

__all__ = ["Sentence", "SentenceEvent", "TokenEvent", "Translation", "Translator"]


@dataclass(frozen=True)
class _Item:
    """A segment of one of the texts of a request."""

    translation: int
    """Index of the text."""
    number: int
    """Index of the segment in the text."""
    protected: ProtectedText
    segment: Segment


class Translator:
    """A loaded translation bundle. Raises BundleError if it cannot be loaded."""

    def __init__(self, bundle: Bundle[TranslationManifest], runtime: Runtime, limits: Limits):
        manifest = bundle.manifest
        self.manifest = manifest
        self.source, self.target = manifest.source, manifest.target
        self.max_target_tokens = manifest.limits.max_target_tokens
        self.max_beam_size = manifest.limits.max_beam_size
        self._stand_in = NAME_STAND_IN if manifest.special_ids.unknown is None else UNKNOWN_SYMBOL
        self._alignment_outputs = {(output.kind, output.layer) for output in manifest.attention if output.summary}
        self._source_tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["source"]])
        self._target_tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["target"]])
        self._segmenter = Segmenter(self._source_tokenizer, self.source, manifest.limits.max_tokens)
        encode, step = runtime.open(bundle, "encode"), runtime.open(bundle, "step")
        self.precision = step.graph.precision
        engines = [TranslationEngine(manifest, encode, step) for _ in range(step.concurrency)]
        self.scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        self.scheduler.close()

    async def translate(
        self,
        texts: Sequence[str],
        options: Options = DEFAULT,
        format: Format = "text",
        on_token: Callable[[TokenEvent], None] | None = None,
        on_sentence: Callable[[SentenceEvent], None] | None = None,
    ) -> list[Translation]:
        """Translate texts with their markup, placeholders and addresses kept. Returns one translation per text.

        A text is split into sentences; the white space between them is kept. A blank text, and one with nothing to
        translate, is returned as it is, without sentences. All offsets are into the texts as sent. All sentences are
        one submission to the scheduler.

        `on_sentence` is called in the event loop with each sentence as it is finished. `on_token` is called with each
        new token of a sentence without pieces or tags, if the search is greedy: beam search may drop a token again.

        Raises UnsupportedOption, TooManyTokens, Overloaded, ModelNotReady or InferenceFailed.
        """
        self._check(options)
        with observability.timed(self.manifest.name, "tokenise"):
            protected, items = await run_in_thread_if_long(texts, lambda: self._prepare(texts, format))
        listens = on_token is not None and options.width == 1
        requests = [self._request(item.segment, options, listens) for item in items]
        finished: dict[int, Sentence] = {}

        def finish(place: int, decoded: Decoded) -> None:
            if place in finished:
                return
            item = items[place]
            finished[place] = self._finish(item, decoded, options)
            if on_sentence is not None:
                on_sentence(SentenceEvent(item.translation, item.number, finished[place]))

        def finish_all() -> None:
            for place, decoded in enumerate(results):
                finish(place, decoded)

        def join_all() -> list[Translation]:
            finish_all()
            sentences: list[list[Sentence]] = [[] for _ in texts]
            for place, item in enumerate(items):
                sentences[item.translation].append(finished[place])
            return [
                join(text.raw, found, options.alternatives) for text, found in zip(protected, sentences, strict=True)
            ]

        results = await self.scheduler.submit(
            requests,
            self._token_listener(items, on_token) if on_token is not None and listens else None,
            finish if on_sentence is not None else None,
        )
        observability.observe_tokens(self.manifest.name, written=sum(len(r.hypotheses[0].token_ids) for r in results))
        with observability.timed(self.manifest.name, "decode"):
            if on_sentence is not None:
                finish_all()  # a worker may report its last results after another one has completed the request
            return await run_in_thread_if_long(texts, join_all)

    def _check(self, options: Options) -> None:
        for name, value, most in (
            ("beam_size", options.beam_size, self.max_beam_size),
            ("alternatives", options.alternatives, self.max_beam_size - 1),
            ("max_length", options.max_length or 1, self.max_target_tokens),
        ):
            if value > most:
                raise UnsupportedOption(f"Invalid request: {name} parameter must be <= {most} for {self.manifest.name}")

    def _prepare(self, texts: Sequence[str], format: Format) -> tuple[list[ProtectedText], list[_Item]]:
        """The protected texts and all their segments, in order."""
        protected = [protect(text, format, self._stand_in) for text in texts]
        items = [
            _Item(index, number, text, segment)
            for index, text in enumerate(protected)
            if not text.is_blank
            for number, segment in enumerate(self._segmenter.split(text))
        ]
        return protected, items

    def _request(self, segment: Segment, options: Options, listens: bool) -> TranslationRequest:
        if not segment.is_plain and options.attention == "none":
            options = replace(options, attention="summary")  # restoring needs the alignment
        unknown = self._source_tokenizer.unknown(segment.encoded.ids)
        return TranslationRequest(segment.encoded.ids, unknown, options, listens and segment.is_plain)

    def _token_listener(
        self, items: Sequence[_Item], on_token: Callable[[TokenEvent], None]
    ) -> Callable[[int, NewToken], None]:
        """A callback for the scheduler that turns a new token of items[place] into its text."""
        decoders = [self._target_tokenizer.stream_decoder() for _ in items]

        def listen(place: int, token: NewToken) -> None:
            item = items[place]
            text = decoders[place](token.token_id)
            if token.copied is not None:
                text = item.segment.encoded.tokens[token.copied].text
            on_token(TokenEvent(item.translation, item.number, item.protected.escape(text), token.weights))

        return listen

    def _finish(self, item: _Item, decoded: Decoded, options: Options) -> Sentence:
        """A decoded segment as a sentence, with what was protected restored."""
        segment = item.segment
        surfaces = [
            {place: segment.encoded.tokens[source].text for place, source in copied.items()}
            for copied in decoded.copied
        ]
        best, *others = decoded.hypotheses
        text, targets = self._target_tokenizer.decode(best.token_ids, copied=surfaces[0])
        alternatives = [
            (self._target_tokenizer.decode(other.token_ids, copied=surface)[0], other.score)
            for other, surface in list(zip(others, surfaces[1:], strict=True))[: options.alternatives]
        ]
        attention = decoded.attention if options.attention != "none" else []
        sentence = Sentence(
            text, best.score, segment.start, segment.end, segment.encoded.tokens, targets, attention, alternatives
        )
        if item.protected.mapped is None:
            return sentence
        alignment = [m for m in decoded.attention if (m.kind, m.layer) in self._alignment_outputs]
        return restore(item.protected, segment, sentence, alignment)

    async def golden(self, case: TranslationCase) -> TranslationAnswer:
        """This bundle's answer to a golden case, in the form of golden.json."""
        [translation] = await self.translate([case.text], Options(beam_size=1))
        [sentence] = translation.sentences
        return TranslationAnswer(
            translation=sentence.text,
            score=sentence.score,
            attention=sentence.attention[0].weights.tolist() if sentence.attention else None,
        )
