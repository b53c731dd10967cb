"""Pieces of a text that are copied to its translation: variables, addresses, code, names of files, symbols.

All expressions are linear: repetitions are bounded or possessive, and no part can start inside of a match that failed
before it at the same character class.
"""

import re
from collections.abc import Iterator

from service.batching import budget
from service.text.mapped import Span

_EXTENSIONS = (
    "7z apk avi bak bash bat bib bin bmp bz2 cfg conf cpp cs css csv deb dll doc docx dylib eml env epub exe flac "
    "ftl gif git go gz h hpp htm html ico img ini ipa iso jar java jpeg jpg js json jsx key kt less lock log lua "
    "m4a md mkv mo mov mp3 mp4 msi ods odp odt ogg onnx otf pdf pem php png po pot ppt pptx properties ps1 psd py "
    "rar rb resx rpm rs rst rtf scss sh so sql sqlite srt svg svelte swift tar tex tgz tif tiff tmp toml ts tsv "
    "tsx ttf txt vtt vue war wav webm webp whl wmv woff woff2 xls xlsx xml xz yaml yml zip "
)
_DOMAINS = (
    "ai app arpa biz blog cat ch cloud cn co com cz de dev edu es eu example fi fr gov hu info int invalid io jp "
    "kr local localhost me mil mobi net nl online org page pl pt ru se shop site social space store tech test top "
    "tv ua uk us wiki xyz "
)
_KEYS = (
    "Alt AltGr Backspace Cmd Command Control Ctrl Del Delete Entf Enter Esc Fn Insert Maj Meta Option Opt Return "
    "Shift Space Strg Super Tab Umschalt Win Windows "
)


def _any_of(words: str) -> str:
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


_EMOJI = r"[\u231a\u231b\u23e9-\u23fa\u2600-\u27bf\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\U0001F000-\U0001FAFF]"
_EMOJI_PARTS = r"[\ufe0e\ufe0f\u20e3\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]"

PIECE = re.compile(
    rf"""
      # Addresses
      (?<!\w)(?:https?|ftps?|sftp|ssh|git|file|wss?|s3)://[^\s<>"'`{{}}\ufffc]++
    | (?<!\w)www\.[^\s<>"'`{{}}\ufffc]++
    | (?<!\w)(?:mailto|tel):[\w.+@-]{{3,100}}+
    | (?<![\w.+-])[\w.+-]{{1,64}}@[\w-]{{1,63}}+(?:\.[\w-]{{1,63}}+){{1,8}}+
    | (?<![\w@])@[\w-]{{1,64}}+(?:[.@]\w[\w-]{{0,63}}+){{0,8}}+                       # @anna, @anna@example.social
      # Code
    | ```[^`]{{1,400}}+``` | `[^`\n]{{1,400}}+`
    | <%[^%\n]{{1,200}}+%> | <\?[^?\n]{{1,200}}+\?>                                   # <%= name %>
    | [$\#@%!]?\{{\{{\{{[^{{}}\n]{{0,200}}+\}}\}}\}} | [$\#@%!]?\{{\{{[^{{}}\n]{{0,200}}+\}}\}}
    | \[\[[^\[\]\n]{{0,200}}+\]\]
    | [$\#@%!]?\{{[^{{}}\n]{{0,200}}+\}}                                              # {{0}}, ${{x}}, %{{x}}
    | (?:\\|\$\w{{0,20}}+)\([^()\n]{{1,100}}+\)                                       # \(name), $(x), $t(key)
    | \[[a-z][\w-]{{0,40}}+\s[^\[\]\n=]{{1,40}}+=[^\[\]\n]{{1,200}}+\]                 # [gallery id=1]
    | %\w{{1,40}}+%(?!%)                                                                # %name%
    | %(?:\(\w{{1,60}}+\)|<\w{{1,60}}+>|\d{{1,3}}+\$)?[-+0\#]*+\d{{0,4}}+(?:\.\d{{1,3}}+)?
        (?:hh|h|ll|l|L|z|j|t)?[a-zA-Z@](?!\w)                                         # %s, %(x)d, %1$s
    | %(?:\(\w{{1,60}}+\)|\d{{1,3}}+\$)[-+0\#]*+\d{{0,4}}+(?:\.\d{{1,3}}+)?[diouxXeEfFgGcrsa]    # %(x)sword
    | %L?\d{{1,2}}+(?!\w) | %%                                                        # %1
    | (?<![\w$])\$[A-Za-z_][\w]{{0,60}}+\$? | (?<![\w$])\$\d{{1,2}}+(?![\w]|[.,]\d)    # $name, $NAME$, $1
    | (?<![\w:]):[a-zA-Z_+][\w+-]{{0,60}}+:?                                          # :name, :smile:
    | \[[A-Z]\d{{1,6}}+[A-Z]\]                                                        # [X7X]
    | __\w{{1,80}}?__(?!\w)                                                           # __1__
    | \\u[0-9a-fA-F]{{4}} | \\x[0-9a-fA-F]{{2}}
    | &(?:\#x?[0-9a-fA-F]{{1,7}}+|[A-Za-z]\w{{1,30}}+);
    | </?[A-Za-z0-9_][^<>\n]{{0,1000}}+>
    | (?<![\w-])--[A-Za-z][\w-]{{0,60}}+(?:=[\w.,/:-]{{1,60}}+)? | (?<![\w-])-[A-Za-z](?![\w-])
      # Files
    | (?<![\w\\])[A-Za-z]:\\[^\s<>"|?*]{{0,260}}+
    | (?<!\\)\\\\[\w.$-]{{1,60}}+(?:\\[\w.$-]{{1,60}}+){{1,8}}+
    | (?<![\w/.:<>)\]-])(?:~|\.{{1,2}})?(?:/[\w.@%+-]{{1,100}}+){{2,30}}+/?
    | (?<![\w/.:<>)\]-])(?:~|\.{{1,2}})/[\w.@%+-]{{0,100}}+ | (?<![\w/.:<>)\]-])/[a-z][\w.-]{{2,60}}+/?(?!\w)
    | (?<![\w./-])(?:[\w.-]{{1,60}}/){{0,8}}[\w-][\w.-]{{0,60}}\.(?:{_any_of(_EXTENSIONS)})(?![\w-]|\.\w)
    | (?<![\w.-])(?:[\w-]{{1,63}}+\.){{1,6}}(?:{_any_of(_DOMAINS)})(?::\d{{1,5}}+)?(?![\w-]|\.\w)
        (?:/[^\s<>"'`{{}}]{{0,500}}+)?
      # Identifiers
    | (?<!\w)[A-Za-z_]\w{{0,60}}+(?:(?:::|->)[A-Za-z_]\w{{0,60}}+){{1,6}}+(?:\(\))?            # std::vector, a->b
    | (?<!\w)[A-Za-z_][\w.]{{0,80}}\(\)
    | (?<!\w)_{{0,2}}[A-Za-z0-9]{{1,40}}+(?:_[A-Za-z0-9]{{1,40}}+){{1,12}}+_{{0,2}}(?!\w)
        (?:\.[A-Za-z_]\w{{0,40}}+){{0,6}}+
    | (?<!\w){_any_of(_KEYS)}(?:(?:[ ]?\+[ ]?|-)(?:\w{{1,12}}+|[^\w\s])){{1,4}}
    | [\u2318\u2325\u21e7\u2303]{{1,4}}+\w?
    | (?<!\w)[A-Z]\w{{0,12}}(?:\+[A-Za-z0-9]{{1,12}}+){{1,4}}+(?!\w)
    | (?<!\w)[A-Za-z](?:\+\+|\#)(?!\w) | (?<!\w)(?:ASP)?\.NET\b
    | (?<![\w.])(?:Makefile|Dockerfile|Gemfile)\b | (?<![\w.)\]"'])\.[a-z][\w-]{{1,30}}+(?:\.[a-z]{{1,12}}+)?
    | (?<!\w)localhost(?::\d{{1,5}}+)?(?!\w)
    | (?<![\w\#&])\#[\w-]{{1,60}}+                                                    # #123, #cats
      # Numbers that are names
    | (?<![\w.,])v?\d{{1,6}}+(?:\.\d{{1,6}}+){{2,6}}+(?:[-+][\w.]{{1,20}}+|:\d{{1,5}}+)?(?!\w)    # 2.10.3
    | (?<![\w.,])v\d{{1,6}}+(?:\.\d{{1,6}}+){{0,1}}+(?!\w)
    | (?<![\w-])[0-9a-fA-F]{{8}}-(?:[0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}(?![\w-])
    | (?<![\w:])(?:[0-9a-fA-F]{{1,4}}+:{{1,2}}){{2,7}}[0-9a-fA-F]{{1,4}}+(?![\w:])
    | (?<!\w)[A-Z]{{2}}\d{{2}}(?:[ ]?[A-Z0-9]{{4}}){{2,8}}(?:[ ]?[A-Z0-9]{{1,3}})?(?!\w)   # an account number
    | (?<![\w-])[A-Z]{{1,8}}-\d[\w-]{{0,20}}+
    | (?<!\w)(?=\w{{0,40}}(?:[A-Za-z]\d|\d[A-Z]))(?!\d{{1,6}}(?:st|nd|rd|th|er|e)(?!\w))\w{{2,80}}+(?!\w)    # X7K9P2
      # Signs
    | (?:{_EMOJI}{_EMOJI_PARTS}*+(?:\u200d{_EMOJI}{_EMOJI_PARTS}*+)*+)++
    | (?<![\w:;=])[:;=][-o^']?[)(\]\[DPp/\\|](?![\w/])
    | [0-9\#*]\ufe0f?\u20e3 | [\ue000-\uf8ff]++
    | \ufffc                                                                         # an element that is copied whole
    """,
    re.VERBOSE,
)
TRIGGERS = re.compile(
    r"[@`{\[$#%<>\\/_&+\u20e3\ufffc\ue000-\uf8ff\u2190-\u2bff\u3030\u303d\U0001F000-\U0001FAFF]"
    r"|[\u201c-\u201e\u00ab\u00bb]|--|\.\w|\d-\d|:\w|::|->|\(\)|\d [A-Z0-9]{4}|[a-zA-Z]-[A-Z]|[A-Z]-?\d|(?<!\w)-\w"
    r"|[:;=][-o^')(\]DPp|]|[a-z]\d|\d[A-Z]|Makefile|Dockerfile|Gemfile|localhost"
)
"""Every piece contains one of these."""

TRAILING = ".,;:!?\u2026)]}'\u2019\u201d\u00bb*_"
CHUNK = 2_000
"""Characters of one search. A search holds the GIL."""


def find_pieces(text: str) -> Iterator[Span]:
    """The spans of the pieces of a text, in order."""
    for first, last in _chunks(text):
        budget.check()
        for match in PIECE.finditer(text, first, last):
            budget.check()
            start, end = match.span()
            end -= _trailing(match[0])
            if start < end:
                yield start, end


def _chunks(text: str) -> Iterator[Span]:
    """Adjacent spans of about CHUNK characters, cut at white space if there is any."""
    start = 0
    while start < len(text):
        end = start + CHUNK
        if end < len(text):
            end = max(text.rfind(" ", start + CHUNK // 2, end), text.rfind("\n", start + CHUNK // 2, end)) + 1 or end
        yield start, min(end, len(text))
        start = end


def _trailing(piece: str) -> int:
    """The number of punctuation marks behind an address or a path that do not belong to it."""
    if not ADDRESS.match(piece):
        return 0
    end = len(piece)
    opened, closed = piece.count("("), piece.count(")")
    while end and piece[end - 1] in TRAILING:
        if piece[end - 1] == ")":
            if opened >= closed:
                break
            closed -= 1
        end -= 1
    return len(piece) - end


ADDRESS = re.compile(r"\w{2,6}://|www\.|[\w-]++\.[\w.-]+/|[~./]*/|[A-Za-z]:\\|\\\\|mailto:")
