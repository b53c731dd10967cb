"""Accelerators: the sign before the letter of a menu entry that the keyboard selects, as in _Open and E&xit."""

import re
from dataclasses import dataclass

GTK = re.compile(r"(?<![\w_])_(?=[^\W\d_])")
"""An underscore at the start of a word."""
QT = re.compile(r"(?<![&\w])&(?=[^\W\d_])|(?<=[a-z])&(?=[a-z])")
"""An ampersand at the start of a word or in it."""
MAX_CHARACTERS = 80
"""Maximum length of a text with an accelerator."""


@dataclass(frozen=True)
class Accelerator:
    sign: str
    letter: str

    def insert(self, translation: str) -> str:
        """Put the sign before the letter, if the translation has it, else before the first letter.

        >>> Accelerator("_", "O").insert("Fermer"), Accelerator("&", "x").insert("Exit")
        ('_Fermer', 'E&xit')
        """
        place = translation.lower().find(self.letter.lower())
        if place < 0 or len(translation.lower()) != len(translation):
            place = next((i for i, char in enumerate(translation) if char.isalpha()), -1)
        return translation if place < 0 else translation[:place] + self.sign + translation[place:]


def take_accelerator(text: str) -> tuple[str, Accelerator | None]:
    """A text without its accelerator, and the accelerator. A text with several signs has none.

    >>> take_accelerator("E&xit"), take_accelerator("snake_case")
    (('Exit', Accelerator(sign='&', letter='x')), ('snake_case', None))
    """
    if len(text) > MAX_CHARACTERS:
        return text, None
    for sign, pattern in (("_", GTK), ("&", QT)):
        matches = [*pattern.finditer(text)]
        if len(matches) == 1 and text.count(sign) == 1:
            place = matches[0].start()
            return text[:place] + text[place + 1 :], Accelerator(sign, text[place + 1])
    return text, None
