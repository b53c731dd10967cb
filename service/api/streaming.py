"""A translation as server-sent events: each sentence as soon as it is there, then the whole answer.

    event: token       {"translation": 0, "number": 2, "text": " chien", "weights": [...]}: with beam_size 1, each token
                       as it is said, and its row of the summary; not of sentences with something to put back
    event: sentence    {"translation": 0, "number": 2, "sentence": {...}}: sentence 2 of text 0, with offsets of its
                       target into its own text

Sentences come in the order in which they are finished.
"""

from fastapi import Request
from starlette.responses import Response

from service.api.events import Events
from service.attention import significant
from service.handlers.encoding import AS_JSON
from service.handlers.translate import TranslationPlan
from service.markup.protect import Marked, protect, with_alignment
from service.text.sentences import sentences
from service.text.tokenizer import run_in_thread_if_long
from service.translation.translator import Sentence, TokenEvent, Translation, Translator

Span = tuple[int, int]


def prepare(question: TranslationPlan) -> list[tuple[Marked, list[Span]]]:
    """Each text as it is read, and its sentences; none where there is nothing to translate."""
    prepared = []
    for text, translator in zip(question.texts, question.translators, strict=True):
        marked = protect(translator, text, question.format) if translator else Marked(text, [], [])
        translated = translator is not None and marked.has_words
        prepared.append((marked, list(sentences(marked.text, translator.source)) if translator and translated else []))
    return prepared


class Streamed:
    """A question whose sentences are translated on their own."""

    def __init__(self, question: TranslationPlan, prepared: list[tuple[Marked, list[Span]]]):
        self._question = question
        self._marked = [marked for marked, _ in prepared]
        self._found: list[list[list[Sentence]]] = [[[] for _ in spans] for _, spans in prepared]
        self.events = Events(lambda: question.answer(self._translations(), AS_JSON))
        for number, (translator, (_, spans)) in enumerate(zip(question.translators, prepared, strict=True)):
            for place, span in enumerate(spans):
                assert translator is not None
                self.events.run(self._translate(translator, number, place, span))

    async def _translate(self, translator: Translator, number: int, place: int, span: Span) -> None:
        marked, options = self._marked[number], self._question.options
        needed = with_alignment(options) if marked.is_marked else options
        at = {"translation": number, "number": place}

        def heard(spoken: TokenEvent) -> None:
            weights = None if spoken.weights is None else significant(spoken.weights)
            self.events.tell("token", {**at, "text": spoken.text, "weights": weights})

        # A stand-in is nobody's business, and only a greedy search never takes back what it said.
        listener = heard if options.width == 1 and not marked.is_marked else None
        text = marked.text[slice(*span)]
        [translation] = await translator.translate([text], needed, listener)
        found = marked.placed(translation, options, translator.manifest, at=span[0])
        self._found[number][place] = found
        for sentence in found:
            encoded = self._question.encode(number, Translation(sentence.text, [sentence], []), AS_JSON)
            self.events.tell("sentence", {**at, "sentence": encoded["sentences"][0]})

    def _translations(self) -> list[Translation]:
        alternatives = self._question.options.alternatives
        return [
            marked.joined([sentence for sentences in found for sentence in sentences], alternatives)
            for marked, found in zip(self._marked, self._found, strict=True)
        ]


async def stream(request: Request, question: TranslationPlan) -> Response:
    """Raises, as an answer at once would, what goes wrong before the first sentence is there."""
    prepared = await run_in_thread_if_long(question.texts, lambda: prepare(question))
    return await Streamed(question, prepared).events.response(request)
