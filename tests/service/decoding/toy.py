"""A step whose every answer depends on its sentence and on the whole prefix, so that any mix-up shows.

Legend: R rows, V vocabulary.
"""

from itertools import product

import numpy as np

from service.decoding.step import Arrays, Candidates, Floats, Ids, Rules, State

PAD, EOS, BOS = 0, 1, 5
WORDS = [2, 3, 4]
"""All that a hypothesis can hold; V - 1 is forbidden as well."""
V = 7
RULES = Rules(bos=BOS, eos=EOS, never=(PAD, BOS, V - 1))


def log_probs(sentence: int, prefix: list[int]) -> Floats:
    """[V], repeatable."""
    logits = np.random.default_rng([sentence, *prefix]).normal(size=V)
    logits[[PAD, BOS, V - 1]] += 5  # what must never be said is what the toy would like to say
    return np.asarray(logits - np.log(np.exp(logits).sum()))


def likeliest(log_probs: Floats, count: int) -> Candidates:
    """Of log-probabilities [R, V]."""
    token_ids = np.argsort(-log_probs, axis=1, kind="stable")[:, :count]
    return Candidates(np.take_along_axis(log_probs, token_ids, axis=1), token_ids, log_probs[:, EOS])


class ToyStep:
    """Its attention spells the prefix that it was computed from, in two heads of opposite sign."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        """How many rows each call had."""

    def __call__(self, token_ids: Ids, state: State, count: int) -> tuple[Candidates, Arrays, Arrays]:
        self.rows.append(len(token_ids))
        prefixes = np.concatenate([state.past["prefix"], token_ids[:, None]], axis=1)
        rows = [log_probs(int(s), p.tolist()) for s, p in zip(state.source["sentence"][:, 0], prefixes, strict=True)]
        spelled = np.stack([prefixes, -prefixes], axis=1)[:, :, None, :]
        return (
            likeliest(np.stack(rows), count),
            {"prefix": prefixes},
            {"prefix": spelled, "last": token_ids[:, None, None]},
        )


def start(sentences: list[int]) -> State:
    past = np.zeros((len(sentences), 0), dtype=np.int64)
    return State({"sentence": np.array(sentences)[:, None]}, {"prefix": past})


def score(sentence: int, tokens: list[int], alpha: float) -> float:
    """The score of a hypothesis, from the definition."""
    said = [*tokens, EOS]
    total = sum(log_probs(sentence, [BOS, *tokens[:i]])[token] for i, token in enumerate(said))
    return float(total / len(said) ** alpha)


def beam_by_the_book(sentence: int, max_length: int, alpha: float, beam_size: int) -> list[tuple[float, list[int]]]:
    """Beam search of one sentence in plain Python: (score, tokens), best first."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    while live and len(finished) < beam_size:
        candidates = []
        for total, tokens in live:
            row = log_probs(sentence, [BOS, *tokens])
            choices = [EOS, *WORDS] if len(tokens) < max_length else [EOS]
            candidates += [(total + float(row[choice]), tokens, choice) for choice in choices]
        candidates.sort(key=lambda candidate: -candidate[0])
        for total, tokens, choice in candidates[:beam_size]:
            if choice == EOS and len(finished) < beam_size:
                finished.append((total / (len(tokens) + 1) ** alpha, tokens))
        live = [(total, [*tokens, choice]) for total, tokens, choice in candidates if choice != EOS][:beam_size]
    return sorted(finished, key=lambda hypothesis: -hypothesis[0])


def every_hypothesis(sentence: int, max_length: int, alpha: float) -> list[tuple[float, list[int]]]:
    """All there are up to a length, best first."""
    found = [list(tokens) for length in range(max_length + 1) for tokens in product(WORDS, repeat=length)]
    return sorted(((score(sentence, tokens, alpha), tokens) for tokens in found), reverse=True)
