"""The translator: texts -> translations, sentence by sentence, each with its tokens, scores and attention.

Legend: B sentences, S source length, T target length, R live rows, N heads.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.bundle import AttentionOutput, Manifest
from service.decoding.beam import beam_search
from service.decoding.greedy import greedy_search
from service.decoding.step import Arrays, Candidates, Hypothesis, Ids, Rules, State
from service.errors import EmptyText, UnsupportedOption
from service.runtime import Runtime, Session
from service.scheduling import Limits, Scheduler
from service.text import Encoded, TextTokenizer, Token, is_blank, sentences


@dataclass(frozen=True)
class Options:
    """How to decode."""

    beam_size: int = 4
    """1 is greedy search."""
    length_penalty: float = 1.0
    max_length: int | None = None
    """Most tokens of a sentence's translation; by default twice its source and ten more."""
    alternatives: int = 0
    """How many translations to give beside the best; the beam is widened to find them."""
    attention: AttentionDetail = "summary"


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
class Translation:
    text: str
    sentences: list[Sentence]
    alternatives: list[str]
    """Other translations of the whole text: the k-th takes each sentence's k-th alternative."""


@dataclass(frozen=True)
class TranslatorWork:
    encoded: Encoded
    options: Options

    @property
    def length(self) -> int:
        return len(self.encoded.ids) * max(self.options.beam_size, self.options.alternatives + 1)

    @property
    def group(self) -> Options:
        return self.options


@dataclass(frozen=True)
class Decoded:
    hypotheses: list[Hypothesis]
    copied: list[dict[int, int]]
    """Of each: places in it that copy an unknown symbol -> the places of that symbol in the source."""
    attention: list[AttentionMatrix]
    """Of the best."""


class BundleStep:
    """A bundle's `step` graph as the decoder wants it: the manifest says which output feeds which input."""

    def __init__(self, session: Session, attention: list[AttentionOutput]):
        self._session = session
        self._next_input = {pair.output: pair.input for pair in session.graph.state}
        self._attention = [output.output for output in attention if output.graph == "step"]
        self._fetched = ["top_log_probs", "top_ids", "end_log_probs", *self._next_input, *self._attention]
        [scores] = [tensor for tensor in session.graph.outputs if tensor.name == "log_probs"]
        self._vocabulary = int(scores.shape[1])

    def start(self, encoded: Arrays) -> State:
        """The state before the first step, from the outputs of `encode` (each [B, ...])."""
        past: Arrays = {}
        states = set(self._next_input.values())
        batch = len(next(iter(encoded.values())))
        inputs = {tensor.name: tensor for tensor in self._session.graph.inputs}
        for name in states:
            tensor = inputs[name]
            shape = [batch if d == "batch" else 0 if isinstance(d, str) else d for d in tensor.shape]
            past[name] = encoded[name] if name in encoded else np.zeros(shape, dtype=tensor.dtype)
        source = {name: array for name, array in encoded.items() if name in inputs and name not in states}
        return State(source, past)

    def __call__(self, token_ids: Ids, state: State, count: int) -> tuple[Candidates, Arrays, Arrays]:
        wanted = np.array([min(count, self._vocabulary)])
        inputs = {"token_ids": token_ids, "candidates": wanted, **state.source, **state.past}
        outputs = self._session.run(inputs, self._fetched)
        past = {name: outputs[output] for output, name in self._next_input.items()}
        found: Any = (outputs["top_log_probs"], outputs["top_ids"], outputs["end_log_probs"][:, 0])
        return Candidates(*found), past, {name: outputs[name] for name in self._attention}


class Translator:
    """A loaded translation bundle. Raises BundleError where it cannot be loaded."""

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime, limits: Limits):
        assert manifest.source and manifest.target and manifest.special_ids  # the manifest checked itself
        assert manifest.limits.max_target_tokens and manifest.limits.max_beam_size
        self.manifest = manifest
        self.source, self.target = manifest.source, manifest.target
        self.max_target_tokens = manifest.limits.max_target_tokens
        self.max_beam_size = manifest.limits.max_beam_size
        ids = manifest.special_ids
        self._rules = Rules(ids.bos, ids.eos, tuple(ids.never), ids.unknown)
        self._aligned = [output for output in manifest.attention if output.summary and output.kind == "cross"]
        self._source_tokenizer = TextTokenizer(folder / manifest.tokenizers["source"])
        self._target_tokenizer = TextTokenizer(folder / manifest.tokenizers["target"])
        self._encode_session = runtime.open(folder, manifest.graph("encode"))
        self._step_session = runtime.open(folder, manifest.graph("step"))
        self._scheduler = Scheduler(manifest.name, self._run, limits)

    def close(self) -> None:
        self._scheduler.close()

    async def translate(
        self, texts: Sequence[str], options: Options = Options(), timeout_s: float | None = None
    ) -> list[Translation]:
        """One translation per text, in order; each is split into sentences, which keep the white space between them.

        Raises EmptyText, UnsupportedOption, Overloaded, InferenceTimeout or InferenceFailed; nothing runs
        unless every text can.
        """
        self._check(options)
        pieces = await asyncio.to_thread(lambda: [list(self._split(i, text)) for i, text in enumerate(texts)])
        work = [TranslatorWork(encoded, options) for text_pieces in pieces for _, _, encoded in text_pieces]
        decoded = iter(await self._scheduler.submit(work, timeout_s))
        return await asyncio.to_thread(
            lambda: [
                self._assemble(text, [(*piece, next(decoded)) for piece in text_pieces], options)
                for text, text_pieces in zip(texts, pieces, strict=True)
            ]
        )

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

    def _run(self, batch: Sequence[TranslatorWork]) -> list[Decoded]:
        options = batch[0].options
        lengths = np.array([len(item.encoded.ids) for item in batch], dtype=np.int64)
        source_ids = np.zeros((len(batch), lengths.max()), dtype=np.int64)
        for row, item in enumerate(batch):
            source_ids[row, : lengths[row]] = item.encoded.ids
        unknown = [self._source_tokenizer.unknown(item.encoded.ids) for item in batch]
        may_copy = np.array([bool(places) and self._rules.unknown is not None for places in unknown])
        wanted = outputs_for(options.attention, self.manifest.attention)
        needed = [*wanted, *(output for output in self._aligned if output not in wanted and may_copy.any())]
        step = BundleStep(self._step_session, needed)
        attention_names = {output.output for output in wanted}
        step_inputs = {tensor.name for tensor in self._step_session.graph.inputs}
        fetched = [n for n in self._encode_session.output_names if n in step_inputs or n in attention_names]
        encoded = self._encode_session.run({"source_ids": source_ids, "source_lengths": lengths}, fetched)
        state = step.start({name: encoded[name] for name in fetched if name in step_inputs})
        max_lengths = np.minimum(2 * lengths + 10, options.max_length or self.max_target_tokens)
        beam_size = max(options.beam_size, options.alternatives + 1)
        if beam_size == 1:
            greedy = greedy_search(step, state, self._rules, max_lengths, options.length_penalty, may_copy)
            found = [[hypothesis] for hypothesis in greedy]
        else:
            found = beam_search(step, state, self._rules, max_lengths, options.length_penalty, beam_size, may_copy)
        return [
            Decoded(
                hypotheses,
                [self._copied(hypothesis, unknown[row]) for hypothesis in hypotheses],
                self._attention(hypotheses[0], wanted, encoded, row, int(lengths[row]), options),
            )
            for row, hypotheses in enumerate(found)
        ]

    def _copied(self, hypothesis: Hypothesis, unknown: list[int]) -> dict[int, int]:
        """Which unknown symbol of the source, by its place, each copy in a hypothesis is: the one it looked at most,
        each once while there are any left (Luong et al. 2015b)."""
        copied: dict[int, int] = {}
        for place, token_id in enumerate(hypothesis.token_ids):
            if token_id == self._rules.unknown:
                weights = hypothesis.attention[self._aligned[0].output][..., place, :]
                looked = weights.reshape(-1, weights.shape[-1]).mean(axis=0)
                left = [source for source in unknown if source not in copied.values()] or unknown
                copied[place] = max(left, key=lambda source: float(looked[source]))
        return copied

    def _attention(
        self, best: Hypothesis, wanted: list[AttentionOutput], encoded: Arrays, row: int, length: int, options: Options
    ) -> list[AttentionMatrix]:
        """The matrices of one sentence, cropped to its own lengths."""
        cropped = []
        for output in wanted:
            if output.graph == "encode":
                weights = encoded[output.output][row][..., :length, :length]
            elif best.token_ids:
                keys = length if output.kind == "cross" else len(best.token_ids)
                weights = best.attention[output.output][..., :keys]
            else:  # an empty translation: nothing looked at anything
                weights = np.zeros(((output.heads,) if output.heads else ()) + (0, 0), dtype=np.float32)
            cropped.append((output, weights))
        return matrices(options.attention, cropped)

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
