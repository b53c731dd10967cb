"""Stop strings: strings that end a generated text and are not part of it."""

from collections.abc import Callable, Sequence


class StopDetector:
    """Finds stop strings in a text that arrives token by token."""

    def __init__(self, strings: Sequence[str], decode: Callable[[int], str]):
        """`decode` returns the text that a token adds, as `TextTokenizer.stream_decoder` does."""
        self._strings = strings
        self._decode = decode
        self._longest = max(map(len, strings))
        self._tail = ""

    def __call__(self, token_id: int) -> bool:
        """Append a token. Return True if the text contains a stop string."""
        self._tail += self._decode(token_id)
        found = any(string in self._tail for string in self._strings)
        self._tail = self._tail[-self._longest :]
        return found


def find_stop(text: str, strings: Sequence[str]) -> int:
    """Return the index of the first stop string in a text, or the length of the text.

    >>> find_stop("one. two. three", [". t", " three"])
    3
    """
    indices = [index for index in (text.find(string) for string in strings) if index >= 0]
    return min(indices, default=len(text))


def safe_length(text: str, strings: Sequence[str]) -> int:
    """Return the length of the part of an unfinished text that cannot be the beginning of a stop string.

    >>> safe_length("one two", ["two three"])
    4
    """
    prefixes = (string[:n] for string in strings for n in range(1, len(string)))
    return len(text) - max((len(prefix) for prefix in prefixes if text.endswith(prefix)), default=0)
