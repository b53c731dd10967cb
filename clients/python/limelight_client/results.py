"""Results of the client. Attention matrices are numpy arrays."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from limelight_client import bertviz

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Token:
    """A token (or word) with its span in code points: `text == whole[start:end]`. A special token has an empty span."""

    text: str
    start: int
    end: int
    special: str | None = None
    """Name of a special token."""

    def __str__(self) -> str:
        return self.special or self.text


@dataclass(frozen=True)
class TargetToken(Token):
    """A token (or word) of a translation."""

    logprob: float | None = None
    """Log-probability, if `logprobs` was requested."""
    confidence: float | None = None
    """Confidence of a word from 0 to 1, if `logprobs` was requested with `attention_unit="word"`."""


@dataclass(frozen=True)
class TokenLogprob(Token):
    """A token of a language model."""

    logprob: float | None = None
    """Log-probability given the preceding tokens. None for the first token."""


@dataclass(frozen=True, eq=False)
class Attention:
    """One attention matrix. `layer` and `head` count from 0; None where the model has only one."""

    kind: str
    """`pooling`, `contribution`, `self`, `cross`, `encoder_self` or `decoder_self`."""
    layer: int | None
    head: int | None
    weights: NDArray[np.float32]
    """[queries, keys]. Each row sums to 1, except those of `contribution`."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Base class of results with attention matrices."""

    attention: list[Attention]

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        """Return the labels of a matrix's rows and columns."""
        raise NotImplementedError

    def heatmap(self, matrix: int = 0, ax: "Axes | None" = None) -> "Axes":
        """Draw one matrix with matplotlib (extra `pictures`) and return the axes. Creates axes if `ax` is None.

        Raises IndexError if the result has no such matrix.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("heatmap() needs matplotlib: pip install 'limelight-client[pictures]'") from None
        drawn = self.attention[matrix]
        rows, columns = self._sides(drawn)
        if ax is None:
            size = (1 + 0.45 * len(columns), 1 + 0.35 * len(rows))
            ax = plt.figure(figsize=size, layout="constrained").add_subplot()
        ax.imshow(drawn.weights, cmap="Greens", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90)
        ax.set_yticks(range(len(rows)), rows)
        return ax


@dataclass(frozen=True, eq=False)
class Prediction(Evidence):
    """The classification of a text."""

    label: str
    score: float
    """Probability of the label."""
    scores: dict[str, float]
    """Probability of every label."""
    truncated: bool
    """True if the text was cut to the limit of the model."""
    tokens: list[Token]

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        names = [str(token) for token in self.tokens]
        return (names if matrix.kind == "self" else [self.label]), names

    def to_bertviz(self) -> dict[str, Any]:
        """Return the arguments of BertViz's `head_view` and `model_view` (extra `bertviz`). Needs `attention="full"`.

        Raises ValueError if the model has no self-attention.
        """
        return {"attention": bertviz.layers(self.attention, "self"), "tokens": [str(token) for token in self.tokens]}


@dataclass(frozen=True)
class Surface:
    """A part of a text, from `start` to `end` in code points."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class AlignedWords:
    """A word of a translation and the source word with its highest weight."""

    source: Surface
    target: Surface


@dataclass(frozen=True)
class MemoryMatch:
    """The best match in the translation memory."""

    score: float
    """1 for an exact match, less for a similar text."""
    used: bool
    """True if the match is exact: its target is the translation."""
    source: str
    target: str


@dataclass(frozen=True, eq=False)
class Sentence(Evidence):
    """A translated sentence."""

    text: str
    score: float
    """Log-probability, divided by the length penalty."""
    start: int
    end: int
    """`start` and `end` are its span in the text that was sent."""
    source_tokens: list[Token]
    target_tokens: list[TargetToken]
    alternatives: list[tuple[str, float]] = field(default_factory=list)
    """Texts and scores of other translations, best first."""
    alignment: list[AlignedWords] = field(default_factory=list)
    """Links between words, if `alignment` was requested."""
    match: MemoryMatch | None = None
    """Text of the memory that is like this sentence."""

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        source, target = [str(token) for token in self.source_tokens], [str(token) for token in self.target_tokens]
        shifted = ["<s>", *target][: matrix.weights.shape[1]]
        return {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, shifted)}[
            matrix.kind
        ]

    def to_bertviz(self) -> dict[str, Any]:
        """Return the arguments of BertViz's `head_view` and `model_view` (extra `bertviz`). Needs `attention="full"`
        with tokens as units.

        The target tokens start with <s>, the decoder's first input. It is no query, so its rows are zeros. Raises
        ValueError if a kind of attention is missing.
        """
        cross = [bertviz.pad(layer, (1, 0), (0, 0)) for layer in bertviz.layers(self.attention, "cross")]
        decoder = [bertviz.pad(layer, (1, 0), (0, 1)) for layer in bertviz.layers(self.attention, "decoder_self")]
        return {
            "encoder_attention": bertviz.layers(self.attention, "encoder_self"),
            "decoder_attention": decoder,
            "cross_attention": cross,
            "encoder_tokens": [str(token) for token in self.source_tokens],
            "decoder_tokens": ["<s>", *(str(token) for token in self.target_tokens)],
        }


@dataclass(frozen=True)
class UsedTerm:
    """A term of the glossary with its place in both texts."""

    term: str
    source: Surface
    target: Surface


@dataclass(frozen=True)
class Step:
    """One of the two translations of a pair without a model."""

    model: str
    version: str
    source: str
    target: str
    text: str


@dataclass(frozen=True, eq=False)
class Translation:
    """The translation of a text."""

    text: str
    sentences: list[Sentence]
    alternatives: list[str]
    """Other translations, best first."""
    language: str | None
    """Detected source language if `source` was "auto", else None."""
    glossary: list[UsedTerm] = field(default_factory=list)
    """Terms of the glossary that occur."""
    steps: list[Step] = field(default_factory=list)
    """Translations into and from the pivot language, for a pair without a model."""
    match: MemoryMatch | None = None
    """Text of the memory that is like the whole text."""


@dataclass(frozen=True, eq=False)
class Generation(Evidence):
    """A generated text."""

    text: str
    """Generated text without the prompt."""
    prompt_tokens: list[TokenLogprob]
    """Tokens with offsets into the prompt."""
    tokens: list[TokenLogprob]
    """Tokens with offsets into `text`."""
    finish_reason: str
    """`stop` at a stop string or at the end-of-text token, `length` at `max_tokens`."""
    seed: int
    """Seed that reproduces the text."""

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        generated = [str(token) for token in self.tokens]
        return generated, [*(str(token) for token in self.prompt_tokens), *generated[:-1]]
