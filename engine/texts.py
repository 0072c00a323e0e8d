"""One rule for every text from outside: what a name may hold, what a prompt may, and how any text is shown.

Not held by any text: control characters (category Cc), halves of surrogate pairs (Cs), code points that stand for no
character (Cn), and the controls that turn the direction of writing (U+202A to U+202E, U+2066 to U+2069), with which a
text looks like another. A prompt may hold line ends and tabs, a name may not. What is typed or sent is refused; from a
document, which may be of before this rule, they are taken out.
"""

from __future__ import annotations

import unicodedata

from engine.errors import InvalidInput

LINES = "\n\r\t"
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED = ("Cc", "Cs", "Cn")


def is_plain(char: str, *, lines: bool = False) -> bool:
    """Whether a character may stand in a text from outside; with `lines` also where a line ends, and a tab."""
    if char in LINES:
        return lines
    return char not in _TURNING and unicodedata.category(char) not in _REFUSED


def plain(text: str, *, lines: bool = False) -> str:
    """The text of a document, without what no text may hold."""
    if text.isprintable():
        return text
    return "".join(char for char in text if is_plain(char, lines=lines))


def check_plain(field: str, text: str, *, lines: bool = False) -> None:
    """Raises InvalidInput, naming the field and the character, for a text that holds what none may."""
    if text.isprintable():
        return
    odd = next((char for char in text if not is_plain(char, lines=lines)), None)
    if odd is not None:
        raise InvalidInput(
            field,
            f"{field} holds a control character or half of a surrogate pair (U+{ord(odd):04X}), which is no text; "
            "remove it.",
        )


def escaped(text: object, *, lines: bool = True) -> str:
    """Any text as a terminal may show it: what no text may hold is written out, as `\\x1b`."""
    told = str(text)
    if told.isprintable():
        return told
    return "".join(
        char if is_plain(char, lines=lines) and char != "\r" else char.encode("unicode_escape").decode("ascii")
        for char in told
    )
