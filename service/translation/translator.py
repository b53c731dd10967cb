"""The translator: texts -> translations, sentence by sentence, each with its tokens, scores and attention."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from service import observability
from service.attention import AttentionMatrix
from service.batching.scheduler import Limits, Scheduler
from service.bundle.manifest import Manifest
from service.errors import EmptyText, UnsupportedOption
from service.runtime import Runtime
from service.text.sentences import is_blank, sentences
from service.text.tokenizer import Encoded, TextTokenizer, Token, run_in_thread_if_long
from service.translation.engine import DEFAULT, Decoded, Decoder, NewToken, Options, TranslationRequest


@dataclass(frozen=True)
class Sentence:
    text: str
    score: float
    start: int
    end: int
    """Its span in the source text."""
    source_tokens: list[Token]
    target_tokens: list[Token]
    """With spans into the whole translation."""
    attention: list[AttentionMatrix]
    alternatives: list[tuple[str, float]]
    """Other hypotheses with their scores, best first."""


@dataclass(frozen=True)
class TokenEvent:
    """One token of a translation, as soon as it is said."""

    translation: int
    sentence: int
    text: str
    """What it adds, white space before it included."""
    weights: NDArray[Any] | None
    """[source tokens]: its row of the summary; None where no attention is wanted."""


@dataclass(frozen=True)
class Translation:
    text: str
    sentences: list[Sentence]
    alternatives: list[str]
    """Other translations of the whole text: the k-th takes each sentence's k-th alternative."""


class Translator:
    """A loaded translation bundle. Raises BundleError where it cannot be loaded."""

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime, limits: Limits):
        assert manifest.source and manifest.target  # the manifest checked itself
        assert manifest.limits.max_target_tokens and manifest.limits.max_beam_size
        self.manifest = manifest
        self.source, self.target = manifest.source, manifest.target
        self.max_target_tokens = manifest.limits.max_target_tokens
        self.max_beam_size = manifest.limits.max_beam_size
        self._source_tokenizer = TextTokenizer(folder / manifest.tokenizers["source"])
        self._target_tokenizer = TextTokenizer(folder / manifest.tokenizers["target"])
        encode, step = runtime.open(folder, manifest, "encode"), runtime.open(folder, manifest, "step")
        self.precision = step.graph.precision
        engines = [Decoder(manifest, encode, step) for _ in range(step.at_once)]
        self._scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        self._scheduler.close()

    async def translate(
        self,
        texts: Sequence[str],
        options: Options = DEFAULT,
        heard: Callable[[TokenEvent], None] | None = None,
    ) -> list[Translation]:
        """One translation per text, in order; each is split into sentences, which keep the white space between them.
        Where search is greedy, `heard` is called with each token as it is said.

        Raises EmptyText, UnsupportedOption, Overloaded or InferenceFailed; nothing runs
        unless every text can.
        """
        self._check(options)
        with observability.timed(self.manifest.name, "tokenise"):
            pieces = await run_in_thread_if_long(
                texts, lambda: [list(self._split(i, text)) for i, text in enumerate(texts)]
            )
        work = [
            TranslationRequest(encoded.ids, self._source_tokenizer.unknown(encoded.ids), options, heard is not None)
            for text_pieces in pieces
            for _, _, encoded in text_pieces
        ]
        listener = None if heard is None else self._listener(pieces, heard)
        results = await self._scheduler.submit(work, listener)
        observability.observe_tokens(self.manifest.name, written=sum(len(r.hypotheses[0].token_ids) for r in results))
        decoded = iter(results)
        with observability.timed(self.manifest.name, "decode"):
            return await run_in_thread_if_long(
                texts,
                lambda: [
                    self._assemble(text, [(*piece, next(decoded)) for piece in text_pieces], options)
                    for text, text_pieces in zip(texts, pieces, strict=True)
                ],
            )

    def _listener(
        self, pieces: list[list[tuple[int, int, Encoded]]], heard: Callable[[TokenEvent], None]
    ) -> Callable[[int, NewToken], None]:
        """What the scheduler tells, by the place of a sentence among all, as tokens of a text's sentence."""
        places = [(text, sentence) for text, found in enumerate(pieces) for sentence in range(len(found))]
        speakers = [self._target_tokenizer.speaker() for _ in places]

        def listen(place: int, said: NewToken) -> None:
            text, sentence = places[place]
            surface = speakers[place](said.token_id)
            if said.copied is not None:
                surface = pieces[text][sentence][2].tokens[said.copied].text
            heard(TokenEvent(text, sentence, surface, said.weights))

        return listen

    def _check(self, options: Options) -> None:
        for name, value, most in (
            ("beam_size", options.beam_size, self.max_beam_size),
            ("alternatives", options.alternatives, self.max_beam_size - 1),
            ("max_length", options.max_length or 1, self.max_target_tokens),
        ):
            if value > most:
                raise UnsupportedOption(f"Invalid request: {name} parameter must be <= {most} for {self.manifest.name}")

    def _split(self, index: int, text: str) -> Iterator[tuple[int, int, Encoded]]:
        """The spans of a text that are translated one by one, with their tokens."""
        if is_blank(text):
            raise EmptyText(f"text {index} has no visible character")
        for start, end in sentences(text, self.source):
            yield from self._split_further(text, start, end)

    def _split_further(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, Encoded]]:
        """A sentence over the limit in pieces: after punctuation, else between words, else anywhere."""
        limit = self.manifest.limits.max_tokens
        while True:
            reach, encoded = self._encode_beginning(text, start, end)
            if len(encoded.ids) <= limit or end - start == 1:
                yield start, end, encoded
                return
            # Places to cut: where a token starts. The second half of the limit is searched, so that pieces stay large.
            starts = [token.start for token in encoded.tokens[limit // 2 : limit - 1] if start < token.start < end]
            between_words = [place for place in starts if text[place - 1].isspace()]
            after_punctuation = [place for place in between_words if text[start:place].rstrip()[-1] in ",;:.!?-–—)"]
            cut = (after_punctuation or between_words or starts or [(start + reach) // 2])[-1]
            yield from self._split_further(text, start, start + len(text[start:cut].rstrip()))
            start = end - len(text[cut:end].lstrip())

    def _encode_beginning(self, text: str, start: int, end: int) -> tuple[int, Encoded]:
        """As much of text[start:end] as it takes to be over the limit, so that what is long is not encoded
        again and again: where that ends, and its tokens."""
        limit = self.manifest.limits.max_tokens
        reach = min(start + limit, end)
        while len((encoded := self._source_tokenizer.encode(text, start, reach)).ids) <= limit and reach < end:
            reach = min(2 * reach - start, end)
        return reach, encoded

    def _assemble(self, text: str, pieces: list[tuple[int, int, Encoded, Decoded]], options: Options) -> Translation:
        """Sentences -> a text with the source's white space between them."""
        found: list[Sentence] = []
        joined, alternatives = "", [""] * options.alternatives
        position = 0
        for start, end, encoded, decoded in pieces:
            space, position = text[position:start], end
            joined += space
            surfaces = [
                {place: encoded.tokens[source].text for place, source in copied.items()} for copied in decoded.copied
            ]
            best, *others = decoded.hypotheses
            sentence, tokens = self._target_tokenizer.decode(best.token_ids, len(joined), surfaces[0])
            other_texts = [
                (self._target_tokenizer.decode(other.token_ids, copied=surface)[0], other.score)
                for other, surface in list(zip(others, surfaces[1:], strict=True))[: options.alternatives]
            ]
            joined += sentence
            for k in range(options.alternatives):
                alternatives[k] += space + (other_texts[k][0] if k < len(other_texts) else sentence)
            found.append(
                Sentence(sentence, best.score, start, end, encoded.tokens, tokens, decoded.attention, other_texts)
            )
        tail = text[position:]
        return Translation(joined + tail, found, [alternative + tail for alternative in alternatives])

    async def golden(self, case: dict[str, Any]) -> dict[str, Any]:
        """This bundle's answer to a golden case, in the form golden.json holds it."""
        [translation] = await self.translate([case["text"]], Options(beam_size=1))
        [sentence] = translation.sentences
        return {
            "translation": sentence.text,
            "score": sentence.score,
            "attention": sentence.attention[0].weights.tolist() if sentence.attention else None,
        }
