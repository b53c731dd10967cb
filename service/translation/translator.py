"""The translator: texts -> translations, sentence by sentence, with tokens, scores and attention."""

from collections.abc import Awaitable, Callable, Sequence

from service import observability
from service.attention import check_weights, count_weights
from service.batching.offload import run_in_thread_if_long
from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import Bundle
from service.bundle.conventions import STAND_INS
from service.bundle.golden import TranslationAnswer, TranslationCase
from service.bundle.manifest import TranslationManifest
from service.errors import UnsupportedOption
from service.markup.protect import Format, protect
from service.runtime import Runtime
from service.text.casing import Truecaser
from service.text.tokenizer import TextTokenizer
from service.translation.cache import ResultCache, decode, translate_new
from service.translation.engine import DEFAULT, Decoded, Options, TranslationEngine, TranslationRequest
from service.translation.job import Job, MatchFinder, TermFinder, items_of
from service.translation.results import SentenceEvent, TokenEvent, Translation
from service.translation.segments import Segmenter
from service.translation.source_text import NAME_PLACEHOLDER, SourceReader


class Translator:
    """A loaded translation bundle. Raises BundleError if it cannot be loaded."""

    def __init__(self, bundle: Bundle[TranslationManifest], runtime: Runtime, limits: Limits):
        manifest = bundle.manifest
        self.manifest = manifest
        self.source, self.target = manifest.source, manifest.target
        self.max_target_tokens = manifest.limits.max_target_tokens
        self.max_beam_size = manifest.limits.max_beam_size
        self._alignment_outputs = {(output.kind, output.layer) for output in manifest.attention if output.summary}
        self.source_tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["source"]])
        self.target_tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["target"]])
        truecaser = Truecaser(self.source_tokenizer, self.source)
        reader = SourceReader(placeholders_of(manifest), truecaser, self.source, self.target, bool(manifest.stand_ins))
        self.segmenter = Segmenter(self.source_tokenizer, reader, self.source, manifest.limits.max_tokens)
        encode, step = runtime.open(bundle, "encode"), runtime.open(bundle, "step")
        self.precision = step.graph.precision
        tokenizers = self.source_tokenizer, self.target_tokenizer
        stand_ins = {tokenizers[0].token_id(char): tokenizers[1].token_id(char) for char in manifest.stand_ins}
        engines = [TranslationEngine(manifest, encode, step, stand_ins) for _ in range(step.concurrency)]
        self._answer_weights = limits.answer_weights
        self._request_tokens = limits.request_tokens
        self.scheduler = Scheduler(manifest.name, engines, limits)
        self._cache = ResultCache(limits.cache_bytes) if limits.cache_bytes else None

    def close(self) -> None:
        self.scheduler.close()

    async def translate(
        self,
        texts: Sequence[str],
        options: Options = DEFAULT,
        format: Format = "text",
        on_token: Callable[[TokenEvent], None] | None = None,
        on_sentence: Callable[[SentenceEvent], None] | None = None,
        join_lines: bool = False,
        find_terms: TermFinder | None = None,
        find_match: MatchFinder | None = None,
    ) -> list[Translation]:
        """Translate texts with their markup, variables, addresses and numbers kept. Returns one translation per text.

        A text is split into sentences; the white space between them is kept. A blank text, and one with nothing to
        translate, is returned as it is, without sentences. All offsets are into the texts as sent. All sentences are
        one submission to the scheduler; those that lost a number, a name or an acronym are a second one.

        `on_sentence` is called in the event loop with each sentence as it is finished. `on_token` is called with each
        new token of a greedy search, except in sentences with pieces, tags, digits, names or acronyms: there the text
        may still change, as it may in a beam search.

        `join_lines`: a line break within a paragraph is a space.

        `find_terms` finds the terms of a glossary. Sentences in which terms are replaced are one more submission.

        `find_match` finds the matches of sentences in a memory. A sentence with an exact match is not decoded.

        Raises UnsupportedOption, TooManyTokens, AnswerTooLarge, Overloaded, ModelNotReady, InferenceFailed or
        InferenceTimeout.
        """
        self._check(options)

        def translate_all(texts: Sequence[str]) -> Awaitable[list[Translation]]:
            return self._translate(texts, options, format, on_token, on_sentence, join_lines, find_terms, find_match)

        depends_on_more = on_token or on_sentence or find_terms or find_match or options.attention != "none"
        if self._cache is None or depends_on_more:
            return await translate_all(texts)
        name = self.manifest.name
        return await translate_new(texts, options, format, join_lines, self._cache, name, translate_all)

    async def _translate(
        self,
        texts: Sequence[str],
        options: Options,
        format: Format,
        on_token: Callable[[TokenEvent], None] | None,
        on_sentence: Callable[[SentenceEvent], None] | None,
        join_lines: bool,
        find_terms: TermFinder | None,
        find_match: MatchFinder | None,
    ) -> list[Translation]:
        """Translate texts that are not in the cache, except for single sentences of them."""
        streams = on_token is not None and options.width == 1

        def prepare() -> tuple[Job, list[TranslationRequest]]:
            job = self._job(texts, options, format, join_lines, find_terms, find_match)
            requests = job.requests(streams)
            lengths = [len(request.source_ids) for request in requests]
            check_weights(count_weights(options.attention, self.manifest.attention, lengths), self._answer_weights)
            return job, requests

        with observability.timed(self.manifest.name, "tokenise"):
            job, requests = await run_in_thread_if_long(texts, prepare)
        job.on_sentence = on_sentence
        job.emit_finished()
        listener = job.token_listener(on_token) if on_token is not None and streams else None
        finish = job.finish if on_sentence is not None else None
        results = await decode(requests, self.scheduler, self._cache, self.manifest.name, listener, finish)
        translations = await self._finish(texts, job, results, job.finish)
        for more, finish_more in ((job.retries, job.finish_retry), (job.patterns, job.finish_pattern)):
            if translations is None and (again := more()):
                results = await decode(again, self.scheduler, self._cache, self.manifest.name)
                translations = await self._finish(texts, job, results, finish_more)
        assert translations is not None  # a segment is translated three times at most
        return translations

    async def _finish(
        self, texts: Sequence[str], job: Job, results: Sequence[Decoded], finish: Callable[[int, Decoded], None]
    ) -> list[Translation] | None:
        """Take the results of a submission. Returns the translations, or None if segments are translated again."""
        observability.observe_tokens(self.manifest.name, written=sum(len(r.hypotheses[0].token_ids) for r in results))

        def finish_all() -> list[Translation] | None:
            for place, decoded in enumerate(results):
                finish(place, decoded)
            return job.translations() if job.is_finished else None

        with observability.timed(self.manifest.name, "decode"):
            if job.on_sentence is not None:
                return finish_all()  # events are delivered in the event loop
            return await run_in_thread_if_long(texts, finish_all)

    def _check(self, options: Options) -> None:
        for name, value, most in (
            ("beam_size", options.beam_size, self.max_beam_size),
            ("alternatives", options.alternatives, self.max_beam_size - 1),
            ("max_length", options.max_length or 1, self.max_target_tokens),
        ):
            if value > most:
                raise UnsupportedOption(f"Invalid request: {name} parameter must be <= {most} for {self.manifest.name}")

    def _job(
        self,
        texts: Sequence[str],
        options: Options,
        format: Format,
        join_lines: bool,
        find_terms: TermFinder | None,
        find_match: MatchFinder | None,
    ) -> Job:
        protected = [protect(text, format, join_lines) for text in texts]
        return Job(
            protected,
            items_of(protected, self.segmenter, options.width, self._request_tokens, find_terms, find_match),
            options,
            self.source_tokenizer,
            self.target_tokenizer,
            self.segmenter,
            self._alignment_outputs,
            self.target,
        )

    async def golden(self, case: TranslationCase) -> TranslationAnswer:
        """This bundle's answer to a golden case: the greedy translation of the network, without changes to the text."""
        encoded = self.source_tokenizer.encode(case.text)
        unknown = self.source_tokenizer.unknown(encoded.ids)
        [decoded] = await self.scheduler.submit([TranslationRequest(encoded.ids, unknown, Options(beam_size=1))])
        copied = {place: encoded.tokens[source].text for place, source in decoded.copied[0].items()}
        [best] = decoded.hypotheses
        attention = decoded.attention_of(0)
        return TranslationAnswer(
            translation=self.target_tokenizer.decode(best.token_ids, copied=copied)[0],
            score=best.score,
            attention=attention[0].weights.tolist() if attention else None,
        )


def placeholders_of(manifest: TranslationManifest) -> list[str]:
    """The placeholders that a network copies: its own, else unknown symbols if it copies those, else a name."""
    if manifest.stand_ins:
        return list(manifest.stand_ins)
    if manifest.special_ids.unknown is not None:
        return list(STAND_INS)
    return [NAME_PLACEHOLDER] * len(STAND_INS)
