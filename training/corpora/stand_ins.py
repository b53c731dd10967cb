"""Stand-ins: private-use characters that replace placeholders, code and names in a sentence pair.

    Open {file} now.  ->  Open U+E003 now.  ->  Ouvrez U+E003 maintenant.  ->  Ouvrez {file} maintenant.

Each stand-in is one token. A network that is trained on pairs with stand-ins copies each of them to its position.
"""

import random
import re
from collections import Counter

from service.bundle.conventions import STAND_INS

STAND_IN = re.compile(f"[{STAND_INS[0]}-{STAND_INS[-1]}]")

PIECE = re.compile(
    r"""
      \b(?:https?|ftp)://[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]                    # addresses
    | \bwww\.[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]
    | (?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+
    | (?<![\w@&])[@\#][A-Za-z_]\w+                                             # @somebody, #something
    | `[^`\n]+`                                                               # code
    | <%=?.*?%> | \{\{\{?[^{}\n]*\}?\}\} | \[\[[^\[\]\n]*\]\]                  # <%= name %>, {{name}}, [[name]]
    | [$\#@%]?\{[^{}\n]*\} | \\\(\w+\)                                         # {0}, ${x}, %{x}, \(name)
    | (?<![\w$])\$[A-Za-z_]\w*\$? | (?<![\w$])\$\d\b(?![.,]\d)                 # $name, $NAME$, $1
    | %(?:\(\w+\)|\d+\$)?[-+0\#]*\d*(?:\.\d+)?(?:hh|h|ll|l|L|z|j|t)?[sdiufFeEgGxXocpaA@](?!\w) | %\w+% | %\d+
    | </?[A-Za-z0-9_][^<>\n]*>                                                # a tag
    | \\[ntr](?![a-z])                                                        # a line break that is spelled
    | \[[A-Z]\d+[A-Z]\] | __\w+__ | (?<!\w):[a-z_]+:(?!\w)                     # [X7X], __1__, :smile:
    | (?<![\w/.])(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]+)*/?                         # a path
    | (?<![\w-])--?[A-Za-z][\w-]*(?:=[\w.-]+)?                                 # an option
    | \b(?:[\w-]+\.)+(?:py|js|ts|txt|pdf|png|jpg|html|xml|json|zip|conf|cfg|ini|csv|doc|exe|sh|so|deb|com|org|net)\b
    | \b[A-Za-z]\w*\(\)                                                       # getName()
    | \b[a-z]+[a-z0-9]*[A-Z]\w*\b | \b\w+_\w+\b                                # userId, user_id
    | \b(?:Ctrl|Alt|Shift|Cmd|Super)(?:\+\w+)+                                 # Ctrl+C
    | \b\d+(?:\.\d+){2,}\b                                                    # 2.10.3
    | [\u2190-\u21ff\u2600-\u27bf\U0001F300-\U0001FAFF]\ufe0f?                 # signs and emoji
    """,
    re.VERBOSE,
)
"""Matches text that is the same in every language."""

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
MOST = 6
"""Maximum number of stand-ins in a sentence. Further pieces stay."""


def shared_once(found: re.Pattern[str], source: str, target: str) -> list[str]:
    """Return the matches of a pattern that occur exactly once on both sides, in source order."""
    sides = [Counter(found.findall(side)) for side in (source, target)]
    return [piece for piece, count in sides[0].items() if count == 1 and sides[1][piece] == 1]


def replace_pieces(source: str, target: str, pieces: list[str], generator: random.Random) -> tuple[str, str]:
    """Replace each piece on both sides by a random, distinct stand-in.

    >>> source, target = replace_pieces("Open {x}.", "Ouvrez {x}.", ["{x}"], random.Random(0))
    >>> source.replace("Open", "Ouvrez") == target and "{x}" not in target
    True
    """
    free = [mark for mark in STAND_INS if mark not in source]
    for piece, mark in zip(pieces[:MOST], generator.sample(free, min(len(free), len(pieces[:MOST]))), strict=False):
        alone = re.compile(rf"(?<!\w){re.escape(piece)}(?!\w)" if piece.isalnum() else re.escape(piece))
        if len(alone.findall(source)) == 1 == len(alone.findall(target)):
            source, target = (alone.sub(lambda _, mark=mark: mark, side) for side in (source, target))  # type: ignore[misc]
    return source, target


def protect_pieces(source: str, target: str, generator: random.Random) -> tuple[str, str]:
    """Replace all pieces that occur once on both sides by stand-ins."""
    return replace_pieces(source, target, shared_once(PIECE, source, target), generator)


def strip_tags(source: str, target: str) -> tuple[str, str]:
    """Remove the tags if both sides have the same ones. The service removes tags too, and restores them by alignment.

    >>> strip_tags("Click <b>here</b>.", "Cliquez <b>ici</b>.")
    ('Click here.', 'Cliquez ici.')
    """
    tag = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?: [^<>\n]*)?/?>")
    if sorted(tag.findall(source)) != sorted(tag.findall(target)):
        return source, target
    return tag.sub("", source), tag.sub("", target)


def hide_words(source: str, target: str, generator: random.Random) -> tuple[str, str]:
    """Replace up to three shared words or numbers by stand-ins, or add a stand-in before or after the sentence."""
    shared = shared_once(WORD, source, target)
    if shared:
        return replace_pieces(
            source, target, generator.sample(shared, min(len(shared), generator.choice((1, 1, 2, 3)))), generator
        )
    mark = generator.choice(STAND_INS)
    if mark in source:
        return source, target
    layouts = ["{mark} {text}", "{text} {mark}", "{text} ({mark})", "{mark}: {text}", "{text}: {mark}"]
    if source[-1] in ".!?" and target.endswith(source[-1]) and target[-2:-1] != " ":
        layouts = ["{mark} {text}", "{start} {mark}{stop}", "{start}: {mark}{stop}", "{start} ({mark}){stop}"]
    layout = generator.choice(layouts)
    made = [layout.format(mark=mark, text=side, start=side[:-1], stop=side[-1]) for side in (source, target)]
    return made[0], made[1]
