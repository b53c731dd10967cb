"""Rules that networks are trained with and that the service decodes with."""

STEP_INPUTS = ("token_ids", "parents", "candidates")
"""Required inputs of every `step` graph, besides its states and the source. `lengths` is optional."""
STEP_OUTPUTS = ("top_log_probs", "top_ids", "end_log_probs")
"""Required outputs of every `step` graph: [rows, candidates], [rows, candidates] and [rows, 1] for </s>."""

STAND_INS = tuple(chr(0xE000 + number) for number in range(16))
"""Private-use characters U+E000 to U+E00F. Each stands for one piece of the source that is copied unchanged. A
tokenizer that lists them (`stand_ins` in the manifest) has a token for each."""
UNKNOWN_SYMBOL = STAND_INS[0]
"""The stand-in for bundles whose tokenizer lists none. Such a tokenizer reads it as <unk>."""


def max_target_length(source_length: int) -> int:
    """Return the largest number of target tokens for a source of that many tokens.

    >>> max_target_length(7)
    24
    """
    return 2 * source_length + 10
